//! Where sites and signs are, from the tables that publications name.

use super::{point, shortened};
use crate::xml::Element;
use std::collections::HashMap;

/// Sites and signs; the Netherlands have about 100,000.
const SITES_MAX: usize = 500_000;
/// Series of all sites together.
const SERIES_MAX: usize = 5_000_000;
const NAME_CHARS_MAX: usize = 200;

/// Sites by identifier, and signs by `controller/index`.
#[derive(Debug, Default)]
pub struct Sites {
    by_id: HashMap<String, Site>,
    n_series: usize,
}

#[derive(Debug, Default)]
pub(super) struct Site {
    /// Longitude and latitude.
    pub(super) place: Option<(f64, f64)>,
    pub(super) name: Option<String>,
    /// Sorted by index.
    series: Vec<(u32, Series)>,
}

/// What the values of one index are about.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) vehicle_class: Option<String>,
    pub(super) lane: Option<String>,
    pub(super) period_secs: Option<f64>,
}

impl Site {
    pub(super) fn series(&self, index: u32) -> Option<&Series> {
        self.series.binary_search_by_key(&index, |(i, _)| *i).ok().map(|at| &self.series[at].1)
    }
}

impl Sites {
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Site> {
        self.by_id.get(id)
    }

    /// Adds what one record of a table says; a newer record replaces an older one.
    pub(super) fn learn(&mut self, record: Element<'_>) -> Result<(), &'static str> {
        let Some(id) = record.attribute("id") else { return Ok(()) };
        if matches!(record.name(), "vmsController" | "vmsUnitRecord") {
            for sign in record.inside().filter(|e| e.attribute("vmsIndex").is_some()) {
                let index = sign.attribute("vmsIndex").unwrap_or_default();
                let name = sign.find("description").or_else(|| sign.find("vmsDescription"));
                self.put(format!("{id}/{index}"), Site { place: point(sign), name: first_value(name), series: Vec::new() })?;
            }
            return Ok(());
        }
        let described = record.children().filter(|c| c.name() == "measurementSpecificCharacteristics" && c.attribute("index").is_some());
        let mut series: Vec<(u32, Series)> =
            described.filter_map(|c| Some((c.attribute("index")?.trim().parse().ok()?, characteristics(c)))).collect();
        series.sort_by_key(|(index, _)| *index);
        // The place of the site, not that of an arrow or a lane inside the characteristics.
        let place = record.children().filter(|c| c.name().contains("ocation")).find_map(point);
        let name = record.child("measurementSiteName").or_else(|| record.child("measurementSiteRecordName"));
        self.put(id.to_owned(), Site { place, name: first_value(name), series })
    }

    fn put(&mut self, id: String, site: Site) -> Result<(), &'static str> {
        self.n_series += site.series.len();
        let old = self.by_id.insert(id, site);
        self.n_series -= old.map_or(0, |s| s.series.len());
        if self.by_id.len() > SITES_MAX || self.n_series > SERIES_MAX {
            return Err("the table has more than 500000 sites or 5000000 series");
        }
        Ok(())
    }
}

fn first_value(element: Option<Element<'_>>) -> Option<String> {
    element?.text_of("value").map(|t| shortened(t, NAME_CHARS_MAX).to_owned())
}

fn characteristics(element: Element<'_>) -> Series {
    let vehicles = element.find("specificVehicleCharacteristics");
    let class = vehicles.and_then(|v| v.text_of("vehicleType")).map(str::to_owned);
    Series {
        vehicle_class: class.or_else(|| lengths(vehicles?)),
        lane: element.text_of("specificLane").map(|t| shortened(t, 32).to_owned()),
        period_secs: element.text_of("period").and_then(|t| t.parse().ok()).filter(|v: &f64| v.is_finite()),
    }
}

/// `length>5.6 length<=12.2`, in metres.
fn lengths(vehicles: Element<'_>) -> Option<String> {
    let part = |e: Element<'_>| {
        let sign = match e.text_of("comparisonOperator")? {
            "greaterThan" => ">",
            "greaterThanOrEqualTo" => ">=",
            "lessThan" => "<",
            "lessThanOrEqualTo" => "<=",
            _ => "=",
        };
        Some(format!("length{sign}{}", shortened(e.text_of("vehicleLength")?, 8)))
    };
    let parts: Vec<String> = vehicles.all("lengthCharacteristic").filter_map(part).take(4).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}
