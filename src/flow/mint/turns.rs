//! For how many sign-ins STS is asked at once: who comes beyond waits a moment, and is then told to come again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::flow::{Busy, Limit, Pressure};

/// How long a sign-in waits for its turn, before its document is used up.
const TURN_WAIT: Duration = Duration::from_secs(4);
/// Sign-ins for which STS is asked at once; a clone shares them.
#[derive(Clone)]
pub struct MintTurns {
    turns: Arc<Semaphore>,
    most: usize,
    pressure: Arc<Pressure>,
}

/// The turn of one sign-in, given back when its credentials are made.
pub struct MintTurn {
    _permit: OwnedSemaphorePermit,
}

impl MintTurns {
    /// At most `most`; who finds none is counted in `pressure`.
    pub fn new(most: usize, pressure: Arc<Pressure>) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(most)),
            most,
            pressure,
        }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.most.saturating_sub(self.turns.available_permits())
    }

    /// How many there are in all.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Waits a moment for a turn.
    pub(in crate::flow) async fn take(&self) -> Result<MintTurn, Busy> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        if let Ok(Ok(permit)) = tokio::time::timeout(TURN_WAIT, turn).await {
            return Ok(MintTurn { _permit: permit });
        }
        self.pressure.turn_away(Limit::Minting);
        Err(Busy)
    }
}
