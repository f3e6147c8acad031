//! Enhanced authentication (section 4.12): what the authenticator is asked, when, and what follows. It is never called
//! here: whoever drives the engine runs it, where nobody waits for what it holds.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::Engine;
use super::calls::{Outcome, State as CallState};
use super::connection::{Phase, Step};
use crate::authenticate::Authenticator;
use crate::error::{CallError, Error};
use crate::session::Challenge;

/// What authentication has come to.
#[derive(Debug)]
pub(super) struct State {
    /// Whether there is an authenticator, be it that it is at work.
    has_authenticator: bool,
    /// What it is to be asked next.
    question: Option<Question>,
    /// Counts questions, so that an answer to one that is no matter any more is known as such.
    asked: u64,
}

/// What an authenticator is asked.
#[derive(Debug)]
enum Question {
    /// What CONNECT begins with.
    Start,
    /// What AUTH begins with, over this connection.
    StartAgain,
    /// What it answers to this.
    Challenge(Challenge),
    /// Whether this is what a broker says that is to be trusted, in CONNACK.
    Finish(Vec<u8>),
    /// The same in AUTH.
    FinishAgain(Challenge),
}

/// A question for the authenticator, and the authenticator itself: to be [run](Authentication::run) where it may take its
/// time.
pub struct Authentication {
    authenticator: Box<dyn Authenticator + Send>,
    question: Question,
    number: u64,
}

/// What the authenticator has said: for [`Engine::authenticated`].
pub struct Authenticated {
    authenticator: Box<dyn Authenticator + Send>,
    question: Question,
    number: u64,
    said: Result<Vec<u8>, String>,
}

impl Authentication {
    /// Asks the authenticator.
    #[must_use]
    pub fn run(self) -> Authenticated {
        let Self { mut authenticator, question, number } = self;
        let said = match &question {
            Question::Start | Question::StartAgain => authenticator.start(),
            Question::Challenge(challenge) => {
                authenticator.hear(challenge);
                authenticator.answer(challenge.data.as_deref().unwrap_or_default())
            }
            Question::Finish(data) => authenticator.finish(data).map(|()| Vec::new()),
            Question::FinishAgain(said) => {
                authenticator.hear(said);
                authenticator.finish(said.data.as_deref().unwrap_or_default()).map(|()| Vec::new())
            }
        };
        Authenticated { authenticator, question, number, said }
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication").finish_non_exhaustive()
    }
}

impl fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated").finish_non_exhaustive()
    }
}

impl State {
    pub(super) const fn new(has_authenticator: bool) -> Self {
        Self { has_authenticator, question: None, asked: 0 }
    }

    fn ask(&mut self, question: Question) {
        self.asked += 1;
        self.question = Some(question);
    }
}

impl Engine {
    /// Says what the authenticator has said.
    pub fn authenticated(&mut self, said: Authenticated, now: crate::time::Instant) {
        self.now = now;
        let Authenticated { authenticator, question, number, said } = said;
        self.authenticator = Some(authenticator);
        if number == self.authentication.asked {
            self.authenticator_said(&question, said);
        }
        self.admit();
    }

    /// The authenticator is gone, since it panicked: there is no authenticating without it.
    pub fn authenticator_lost(&mut self, now: crate::time::Instant) {
        self.now = now;
        self.authentication = State::new(false);
        self.fail_authentication("the authenticator panicked".into());
        self.admit();
    }

    /// Answers what the broker wants to know, where the user authenticates [step by step](Engine::authenticate_by_hand).
    ///
    /// # Errors
    /// What ended the connection, if it is over; as [`Session::answer_challenge`](crate::session::Session::answer_challenge).
    pub fn answer_challenge(&mut self, data: &[u8]) -> Result<(), Error> {
        self.pump();
        self.require_open()?;
        Ok(self.session.answer_challenge(data)?)
    }

    /// Begins to authenticate again over this connection, where the user does so step by step.
    ///
    /// # Errors
    /// As [`Engine::answer_challenge`].
    pub fn authenticate_again(&mut self, data: &[u8]) -> Result<(), Error> {
        self.pump();
        self.require_open()?;
        self.session.authenticate_again(data)?;
        // How the last time went is no matter any more, if the user has not asked.
        self.step = None;
        Ok(())
    }

    /// The Authentication Data that the next CONNECT begins with, where the user authenticates step by step.
    pub fn set_authentication_data(&mut self, data: Vec<u8>) {
        self.session.set_authentication_data(data);
    }

    pub(super) const fn take_step(&mut self) -> Option<Step> {
        self.step.take()
    }

    pub(super) const fn has_authenticator(&self) -> bool {
        self.authentication.has_authenticator
    }

    pub(super) const fn has_question(&self) -> bool {
        self.authentication.question.is_some() && self.authenticator.is_some()
    }

    pub(super) fn poll_authentication(&mut self) -> Option<Authentication> {
        let authenticator = self.authenticator.take_if(|_| self.authentication.question.is_some())?;
        let question = self.authentication.question.take()?;
        Some(Authentication { authenticator, question, number: self.authentication.asked })
    }

    /// Whatever it was asked is no matter any more.
    pub(super) fn forget_question(&mut self) {
        self.authentication.asked += 1;
        self.authentication.question = None;
        self.step = None;
    }

    pub(super) fn ask_to_start(&mut self) {
        self.authentication.ask(Question::Start);
    }

    pub(super) fn ask_to_finish_connecting(&mut self) {
        let connack = self.session.connack().unwrap_or_default();
        let data = connack.properties.authentication_data.unwrap_or_default().into();
        self.authentication.ask(Question::Finish(data));
    }

    /// Whether the client may begin to authenticate again: nothing else is under way.
    pub(super) fn may_authenticate(&self) -> bool {
        matches!(self.phase, Phase::Open)
            && !self.session.is_authenticating()
            && self.authenticator.is_some()
            && self.authentication.question.is_none()
    }

    pub(super) fn start_authenticating_again(&mut self) -> Result<(), CallError> {
        if !self.has_authenticator() {
            return Err(CallError::NothingToAuthenticate);
        }
        if !self.may_authenticate() {
            return Err(CallError::WouldBlock);
        }
        self.authentication.ask(Question::StartAgain);
        Ok(())
    }

    pub(super) fn challenged(&mut self, challenge: Challenge) {
        if self.authenticates_by_hand {
            self.step = Some(Step::Challenge(challenge));
        } else if self.has_authenticator() {
            self.authentication.ask(Question::Challenge(challenge));
        } else {
            let why = "the broker has a challenge, and the client no authenticator";
            self.session.fail_authentication(why.into());
        }
    }

    pub(super) fn authenticated_again(&mut self, said: Challenge) {
        if self.authenticates_by_hand {
            self.step = Some(Step::Authenticated(said));
        } else if self.has_authenticator() {
            self.authentication.ask(Question::FinishAgain(said));
        }
    }

    /// A connection that was made has authenticated the client with it.
    pub(super) fn authenticated_by_connecting(&mut self) {
        self.complete_authenticating(&|| Outcome::Done);
    }

    pub(super) fn fail_authenticating(&mut self, error: &Error) {
        // A connection that is made by itself begins with it.
        if self.policy.is_none() || matches!(error, Error::Authentication(_)) {
            self.complete_authenticating(&|| Outcome::Failed(error.clone()));
        }
    }

    fn complete_authenticating(&mut self, outcome: &dyn Fn() -> Outcome) {
        self.complete_all(|state| matches!(state, CallState::Authenticating), outcome);
    }

    fn authenticator_said(&mut self, question: &Question, said: Result<Vec<u8>, String>) {
        let data = match said {
            Ok(data) => data,
            Err(why) => return self.authenticator_failed(question, why),
        };
        match question {
            Question::Start => {
                self.session.set_authentication_data(data);
                self.start_session();
            }
            Question::StartAgain => {
                if let Err(error) = self.session.authenticate_again(&data) {
                    self.complete_authenticating(&|| Outcome::Failed(error.into()));
                }
            }
            Question::Challenge(_) => match self.session.answer_challenge(&data) {
                // That the broker has gone is told otherwise.
                Ok(()) | Err(CallError::NotConnected) => {}
                Err(error) => self.fail_authentication(error.to_string()),
            },
            Question::Finish(_) => self.opened(),
            Question::FinishAgain(_) => self.complete_authenticating(&|| Outcome::Done),
        }
    }

    fn authenticator_failed(&mut self, question: &Question, why: String) {
        match question {
            Question::Start => self.fail_attempt(Error::Authentication(why)),
            // The connection is as good as before.
            Question::StartAgain => {
                self.complete_authenticating(&|| Outcome::Failed(Error::Authentication(why.clone())))
            }
            Question::Challenge(_) | Question::Finish(_) | Question::FinishAgain(_) => self.fail_authentication(why),
        }
    }

    /// Ends the connection to a broker that cannot be authenticated to, or is not to be trusted.
    fn fail_authentication(&mut self, why: String) {
        self.session.fail_authentication(why);
        self.pump();
    }
}
