//! What the twin knows of an entity beside its attributes.

use schemas::{LogPosition, Position, Quality};

/// No row.
pub(crate) const NONE: u32 = u32::MAX;

/// When and by which frame something was said. The order of the fields is the order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) observed_at: i64,
    pub(crate) position: LogPosition,
    pub(crate) received_at: i64,
}

impl Stamp {
    /// Before everything; frames count from 1, so position 0 says that nothing was said.
    pub(crate) const ABSENT: Self = Self { observed_at: i64::MIN, position: 0, received_at: i64::MIN };

    pub(crate) const fn is_present(self) -> bool {
        self.position != 0
    }
}

/// Where an entity is, by the winning row among those that had a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) stamp: Stamp,
    pub(crate) lon: f64,
    pub(crate) lat: f64,
    /// H3 cell at the resolution of rows.
    pub(crate) cell: i64,
}

impl Place {
    const NOWHERE: Self = Self { stamp: Stamp::ABSENT, lon: 0.0, lat: 0.0, cell: i64::MAX };

    pub(crate) fn position(&self) -> Option<Position> {
        self.stamp.is_present().then_some(Position { lon: self.lon, lat: self.lat })
    }

    /// Takes the place if it wins; tells whether the entity moved.
    pub(crate) fn fold(&mut self, stamp: Stamp, to: Position, cell: i64) -> bool {
        let order = stamp
            .cmp(&self.stamp)
            .then_with(|| to.lon.total_cmp(&self.lon))
            .then_with(|| to.lat.total_cmp(&self.lat))
            .then_with(|| cell.cmp(&self.cell));
        if order.is_le() {
            return false;
        }
        let moved = !self.stamp.is_present() || (self.lon, self.lat, self.cell) != (to.lon, to.lat, cell);
        *self = Self { stamp, lon: to.lon, lat: to.lat, cell };
        moved
    }
}

/// The fixed-size part of an entity. `Copy`, so that copying a chunk of them is one move of memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    /// The newest row, whatever it held.
    pub(crate) last: Stamp,
    pub(crate) place: Place,
    /// Index into the sources of the table; of the newest row, as are the two below.
    pub(crate) source: u32,
    pub(crate) quality: Quality,
    pub(crate) simulated: bool,
    /// More key values were seen than are kept.
    pub(crate) truncated: bool,
    /// First row of the entity, [`NONE`] before there is one.
    pub(crate) first_row: u32,
}

impl State {
    pub(crate) const NEW: Self = Self {
        last: Stamp::ABSENT,
        place: Place::NOWHERE,
        source: 0,
        quality: Quality::Valid,
        simulated: false,
        truncated: false,
        first_row: NONE,
    };
}
