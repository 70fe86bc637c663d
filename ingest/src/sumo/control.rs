//! When a signal may take a commanded phase or program. Pure: the caller says what the signal shows and since when, and does what is answered.
//!
//! A command never shortens a green below its minimum nor a clearance at all, and never takes the green from a link that was not
//! cleared by yellow: where a direct change would, the phases of the present program are gone through in their order.

use super::scenario::{Phase, Program, Signal};
use schemas::Timestamp;

/// Of programs that give none.
const MIN_GREEN_SECS: f64 = 5.0;
const MAX_GREEN_SECS: f64 = 120.0;
/// Longest time that a program may be used by command.
pub const PROGRAM_SECS_MAX: f64 = 3_600.0;

/// What is wanted of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    Phase(usize),
    Program(String),
}

/// A command that was authorised.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub id: String,
    pub want: Want,
    pub hold_secs: f64,
    /// Void after this unless it was applied.
    pub expires_at: Timestamp,
}

/// What the signal shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now<'s> {
    pub program: &'s str,
    pub phase: usize,
    /// Seconds that the phase has lasted.
    pub spent_secs: f64,
    /// Simulated, or of the controller's own clock.
    pub secs: f64,
    pub wall: Timestamp,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Wait,
    /// Begin this phase of the present program.
    Jump(usize),
    /// Keep the present phase for so many seconds more; the command is applied.
    Hold(f64),
    /// Use this program from its first phase on; the command is applied.
    Switch(String),
    /// Back to the program from before, from its first phase on; the command has ended.
    Return(String),
    /// The command has ended.
    Released,
    /// The command has ended before it was applied.
    Expired,
    Refused(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Approaching,
    Holding { until_secs: f64 },
    Returning,
}

/// A command on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Controller {
    order: Order,
    stage: Stage,
    /// The program in force when the command came.
    before: String,
}

impl Phase {
    /// Some link has green, and none is being cleared.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.state.contains(['G', 'g']) && !self.state.contains(['y', 'Y', 'u'])
    }

    fn shortest_secs(&self) -> f64 {
        if self.is_green() { self.min_secs.unwrap_or(MIN_GREEN_SECS).min(self.duration_secs) } else { self.duration_secs }
    }

    fn longest_secs(&self) -> f64 {
        self.max_secs.unwrap_or(MAX_GREEN_SECS).max(self.duration_secs)
    }
}

/// Whether a phase may follow another without a clearance between: no link loses its green, and a cleared one stops.
#[must_use]
pub fn may_follow(from: &str, to: &str) -> bool {
    from.len() == to.len()
        && from.chars().zip(to.chars()).all(|(from, to)| match from {
            'G' | 'g' => matches!(to, 'G' | 'g'),
            'y' | 'Y' => matches!(to, 'r' | 's'),
            _ => true,
        })
}

impl Controller {
    /// Takes a command, or says why not.
    ///
    /// # Errors
    /// The reason, for whoever asked.
    pub fn new(order: Order, signal: &Signal, now: Now<'_>) -> Result<Self, String> {
        let program = program(signal, now.program)?;
        if now.wall >= order.expires_at {
            return Err(format!("the command expired at {}", order.expires_at.to_rfc3339()));
        }
        let longest = match &order.want {
            Want::Phase(index) => {
                let n = program.phases.len();
                let phase = program.phases.get(*index);
                let phase = phase.ok_or_else(|| format!("program '{}' has the phases 0 to {}, not {index}", program.id, n - 1))?;
                if !phase.is_green() {
                    return Err(format!("phase {index} ({}) clears the junction; command a phase with green", phase.state));
                }
                phase.longest_secs()
            }
            Want::Program(id) => {
                if signal.programs.iter().all(|p| p.id != *id) {
                    let known: Vec<&str> = signal.programs.iter().map(|p| p.id.as_str()).collect();
                    return Err(format!("signal '{}' has no program '{id}'; it has {}", signal.id, known.join(", ")));
                }
                PROGRAM_SECS_MAX
            }
        };
        if !(order.hold_secs >= 1.0 && order.hold_secs <= longest) {
            return Err(format!("{} s is not allowed here; 1 to {longest} s are", order.hold_secs));
        }
        Ok(Self { order, stage: Stage::Approaching, before: now.program.to_owned() })
    }

    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// What to do now. Call it once for each step of the signal.
    pub fn step(&mut self, signal: &Signal, now: Now<'_>) -> Action {
        match self.stage {
            Stage::Approaching => self.approach(signal, now),
            Stage::Holding { until_secs } => self.hold(signal, now, until_secs),
            Stage::Returning => self.go_back(signal, now),
        }
    }

    fn approach(&mut self, signal: &Signal, now: Now<'_>) -> Action {
        if now.wall >= self.order.expires_at {
            return Action::Expired;
        }
        let Ok(program) = program(signal, now.program) else {
            return Action::Refused(format!("the signal uses program '{}' by now, which is not known", now.program));
        };
        let Some(phase) = program.phases.get(now.phase) else { return Action::Wait };
        match self.order.want.clone() {
            Want::Phase(_) if now.program != self.before => {
                Action::Refused(format!("the signal changed to program '{}' before the phase was reached", now.program))
            }
            Want::Phase(index) if index == now.phase => {
                // What the phase has had counts, so that commands in a row cannot keep a red for ever.
                // A hold may end a long phase early, but not before its minimum.
                let least = phase.shortest_secs() - now.spent_secs;
                let hold = self.order.hold_secs.max(least).min(phase.longest_secs() - now.spent_secs);
                if hold < 1.0 {
                    return Action::Refused(format!("phase {index} has had its longest green of {} s", phase.longest_secs()));
                }
                self.stage = Stage::Holding { until_secs: now.secs + hold };
                Action::Hold(hold)
            }
            Want::Phase(index) => match program.phases.get(index) {
                Some(target) if served(phase, now) && may_follow(&phase.state, &target.state) => Action::Jump(index),
                _ => next(program, phase, now),
            },
            Want::Program(id) => {
                if id == now.program {
                    self.stage = Stage::Holding { until_secs: now.secs + self.order.hold_secs };
                    return Action::Hold(0.0);
                }
                if !enters(signal, &id, phase, now) {
                    return next(program, phase, now);
                }
                self.stage = Stage::Holding { until_secs: now.secs + self.order.hold_secs };
                Action::Switch(id)
            }
        }
    }

    fn hold(&mut self, signal: &Signal, now: Now<'_>, until_secs: f64) -> Action {
        match &self.order.want {
            Want::Phase(index) if *index == now.phase && now.secs < until_secs => Action::Wait,
            Want::Phase(_) => Action::Released,
            Want::Program(_) if now.secs < until_secs => Action::Wait,
            Want::Program(id) if *id == self.before => Action::Released,
            Want::Program(_) => {
                self.stage = Stage::Returning;
                self.go_back(signal, now)
            }
        }
    }

    fn go_back(&self, signal: &Signal, now: Now<'_>) -> Action {
        let phase = program(signal, now.program).ok().and_then(|p| p.phases.get(now.phase));
        match phase {
            // Somebody else has changed the program: it is theirs now.
            _ if !matches!(&self.order.want, Want::Program(id) if id == now.program) => Action::Released,
            Some(phase) if enters(signal, &self.before, phase, now) => Action::Return(self.before.clone()),
            _ => Action::Wait,
        }
    }
}

fn program<'s>(signal: &'s Signal, id: &str) -> Result<&'s Program, String> {
    signal.programs.iter().find(|p| p.id == id).ok_or_else(|| format!("signal '{}' uses program '{id}', which is not known", signal.id))
}

fn served(phase: &Phase, now: Now<'_>) -> bool {
    now.spent_secs >= phase.shortest_secs()
}

fn next(program: &Program, phase: &Phase, now: Now<'_>) -> Action {
    if phase.is_green() && served(phase, now) { Action::Jump((now.phase + 1) % program.phases.len()) } else { Action::Wait }
}

/// Whether a program may begin now.
fn enters(signal: &Signal, id: &str, phase: &Phase, now: Now<'_>) -> bool {
    let first = signal.programs.iter().find(|p| p.id == id).and_then(|p| p.phases.first());
    served(phase, now) && first.is_some_and(|first| may_follow(&phase.state, &first.state))
}
