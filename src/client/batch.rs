//! Messages that are published one behind the other, with as many in flight as there may be.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Client, Patience, WRITE_SIZE};
use crate::codec::{Publish, ReasonCode};
use crate::error::{Error, RequestError};
use crate::session::{Event, OperationId};
use crate::transport::Transport;

/// Messages that are published one behind the other.
struct Batch {
    results: Vec<Result<ReasonCode, Error>>,
    /// Those in flight, and their places in `results`; in ascending order.
    in_flight: VecDeque<(OperationId, usize)>,
    /// The places of those at QoS 0 that may not have been sent yet.
    unsent: Vec<usize>,
    /// Begins anew with every answer.
    patience: Patience,
}

impl Batch {
    const fn new(patience: Patience) -> Self {
        Self { results: Vec::new(), in_flight: VecDeque::new(), unsent: Vec::new(), patience }
    }

    fn add(&mut self, submitted: Result<Option<OperationId>, Error>) {
        let place = self.results.len();
        self.results.push(match submitted {
            Ok(None) => {
                self.unsent.push(place);
                Ok(ReasonCode::Success)
            }
            Ok(Some(id)) => {
                self.in_flight.push_back((id, place));
                // What stands here until the broker answers.
                Err(Error::Timeout)
            }
            Err(error) => Err(error),
        });
    }

    /// Notes how a message went; `false` if it is none of these.
    fn settle(&mut self, id: OperationId, result: Result<ReasonCode, Error>) -> bool {
        let index = self.in_flight.binary_search_by_key(&id, |&(id, _)| id);
        let Some((_, place)) = index.ok().and_then(|index| self.in_flight.remove(index)) else { return false };
        self.results[place] = result;
        true
    }

    fn is_done(&self) -> bool {
        self.in_flight.is_empty() && self.unsent.is_empty()
    }

    /// Fails what is not done.
    fn fail(&mut self, error: &Error) {
        for place in self.in_flight.drain(..).map(|(_, place)| place).chain(self.unsent.drain(..)) {
            self.results[place] = Err(error.clone());
        }
    }
}

impl<T: Transport> Client<T> {
    /// Publishes messages one behind the other, as many in flight as the broker and the options allow, and as many in
    /// one write. Returns for each how it went, in order: as [`Client::publish`] would have.
    ///
    /// Messages that could not be sent because the connection ended fail with the reason it ended.
    pub fn publish_all<'a>(
        &mut self,
        messages: impl IntoIterator<Item = Publish<'a>>,
    ) -> Vec<Result<ReasonCode, Error>> {
        let mut batch = Batch::new(self.patience());
        let mut ended = None;
        for publish in messages {
            let result = match &ended {
                Some(error) => Err(Error::clone(error)),
                None => self.submit_next(&publish, &mut batch),
            };
            ended = ended.or(result.as_ref().err().filter(|error| error.is_fatal()).cloned());
            batch.add(result);
        }
        if let Err(error) = ended.map_or_else(|| self.finish(&mut batch), Err) {
            // Some of them may have been acknowledged before that.
            self.note_settled(&mut batch);
            batch.fail(&error);
        }
        batch.results
    }

    /// Hands a message of a batch to the session, as soon as enough of those before it are acknowledged.
    fn submit_next(&mut self, publish: &Publish<'_>, batch: &mut Batch) -> Result<Option<OperationId>, Error> {
        loop {
            match self.session.publish(publish) {
                Err(RequestError::WouldBlock | RequestError::NotConnected) => self.settle(batch)?,
                result => {
                    if self.session.transmit().len() >= WRITE_SIZE {
                        self.write_out(&mut batch.patience)?;
                        self.note_sent(batch);
                    }
                    return Ok(result?);
                }
            }
        }
    }

    /// Waits until all of a batch is sent and acknowledged.
    fn finish(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.write_out(&mut batch.patience)?;
        self.note_sent(batch);
        while !batch.is_done() {
            self.settle(batch).map_err(Error::while_in_flight)?;
        }
        Ok(())
    }

    /// Notes what became of messages of a batch, or lets bytes move so that something may.
    fn settle(&mut self, batch: &mut Batch) -> Result<(), Error> {
        if self.note_settled(batch) {
            batch.patience = self.patience();
            return Ok(());
        }
        self.require_open()?;
        batch.patience.wait(self)?;
        self.note_sent(batch);
        Ok(())
    }

    /// Notes which messages of a batch are acknowledged or refused; whether there was any.
    fn note_settled(&mut self, batch: &mut Batch) -> bool {
        let mut has_settled = false;
        while let Some(event) = self.session_event() {
            if let Event::Published { id, result } = event {
                has_settled |= batch.settle(id, result.map(|reason| reason.reason_code));
            }
        }
        has_settled
    }

    /// Notes that nothing of a batch waits to be sent any more, if so.
    fn note_sent(&self, batch: &mut Batch) {
        if self.is_connected() && !self.has_outgoing() {
            batch.unsent.clear();
        }
    }
}
