//! Enhanced authentication (section 4.12): what the authenticator is asked, when, and what follows. It is never called
//! here: the driver of the engine runs it, where nobody waits for what it holds.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::Engine;
use super::calls::{Outcome, State as CallState};
use super::connection::{Phase, Step};
use super::operation::Submitted;
use super::timers::Timer;
use crate::authenticate::Authenticator;
use crate::error::{CallError, Error};
use crate::session::Challenge;
use crate::time::Instant;

/// What authentication has come to.
pub(super) struct State {
    /// What it takes, if there is an authenticator, also while it is at work, and when it is gone.
    hooks: Option<&'static Hooks>,
    /// `None` while it is at work, and once it is gone.
    authenticator: Option<Box<dyn Authenticator + Send>>,
    is_lost: bool,
    /// What it is to be asked next.
    question: Option<Question>,
    /// Counts questions, so that an answer to one that is no matter any more is known as such.
    asked: u64,
    /// Whether it is at work on what AUTH begins with.
    begins_again: bool,
}

/// What asking an authenticator takes: linked into programs that have one.
pub(super) struct Hooks {
    start: fn(&mut Engine),
    ask: fn(Box<dyn Authenticator + Send>, Question, u64) -> Authentication,
}

static HOOKS: Hooks = Hooks { start: Engine::start_authenticating, ask };

/// What became of an authenticator that panicked.
const LOST: &str = "the authenticator panicked";

/// What [`Options`](super::Options) hold: they can be cloned, and each client has an authenticator of its own.
pub(super) trait CloneAuthenticator: Send {
    fn clone_box(&self) -> Box<dyn CloneAuthenticator>;
    fn to_authenticator(&self) -> Box<dyn Authenticator + Send>;
    fn hooks(&self) -> &'static Hooks;
}

impl<A: Authenticator + Clone + Send + 'static> CloneAuthenticator for A {
    fn clone_box(&self) -> Box<dyn CloneAuthenticator> {
        Box::new(self.clone())
    }

    fn to_authenticator(&self) -> Box<dyn Authenticator + Send> {
        Box::new(self.clone())
    }

    fn hooks(&self) -> &'static Hooks {
        &HOOKS
    }
}

impl Clone for Box<dyn CloneAuthenticator> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
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

/// A question for the authenticator, together with the authenticator: what [`Action::Authenticate`](super::Action) has.
/// [Run](Authentication::run) it where it may take its time.
///
#[doc = memory_example!()]
/// # let token = broker::Token(b"a token".to_vec());
/// use mqtt_wasi::engine::{Action, Authenticated, Authentication, Call, Connecting, Engine};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().authenticator(token), 0)?;
/// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || network.now());
/// let Some(Action::Connect { attempt, .. }) = engine.poll_action(network.now()) else { panic!() };
/// engine.connected(attempt, network.now());
/// let Some(Action::Authenticate(question)) = engine.poll_action(network.now()) else { panic!() };
/// let question: Authentication = question;
/// let answer: Authenticated = question.run(); // in another thread, for example
/// engine.authenticated(answer, network.now());
/// assert!(engine.has_outgoing(), "CONNECT has the authenticator's data");
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
pub struct Authentication(Box<dyn FnOnce() -> Authenticated + Send>);

/// The answer of the authenticator, for [`Engine::authenticated`].
///
#[doc = memory_example!()]
/// # let token = broker::Token(b"a token".to_vec());
/// use mqtt_wasi::engine::{Action, Authenticated, Call, Connecting, Engine};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().authenticator(token), 0)?;
/// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || network.now());
/// let Some(Action::Connect { attempt, .. }) = engine.poll_action(network.now()) else { panic!() };
/// engine.connected(attempt, network.now());
/// let Some(Action::Authenticate(question)) = engine.poll_action(network.now()) else { panic!() };
/// let answer: Authenticated = question.run();
/// engine.authenticated(answer, network.now());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
pub struct Authenticated(Box<dyn FnOnce(&mut Engine) + Send>);

impl Authentication {
    /// This is to be done, where it may take its time.
    pub(super) fn new(work: Box<dyn FnOnce() -> Authenticated + Send>) -> Self {
        Self(work)
    }

    /// Asks the authenticator.
    ///
    #[doc = memory_example!()]
    /// # let token = broker::Token(b"a token".to_vec());
    /// use mqtt_wasi::engine::{Action, Call, Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().authenticator(token), 0)?;
    /// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || network.now());
    /// let Some(Action::Connect { attempt, .. }) = engine.poll_action(network.now()) else { panic!() };
    /// engine.connected(attempt, network.now());
    /// let Some(Action::Authenticate(question)) = engine.poll_action(network.now()) else { panic!() };
    /// engine.authenticated(question.run(), network.now());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn run(self) -> Authenticated {
        (self.0)()
    }
}

impl Authenticated {
    /// This follows from it.
    pub(super) fn new(follows: Box<dyn FnOnce(&mut Engine) + Send>) -> Self {
        Self(follows)
    }
}

/// The work of asking an authenticator, and what then follows.
fn ask(mut authenticator: Box<dyn Authenticator + Send>, question: Question, number: u64) -> Authentication {
    Authentication::new(Box::new(move || {
        let said = match &question {
            Question::Start | Question::StartAgain => authenticator.start(),
            Question::Challenge(challenge) => {
                authenticator.hear(challenge);
                authenticator.answer(challenge.data.as_deref().unwrap_or_default()).map(Some)
            }
            Question::Finish(data) => authenticator.finish(data).map(|()| None),
            Question::FinishAgain(said) => {
                authenticator.hear(said);
                authenticator.finish(said.data.as_deref().unwrap_or_default()).map(|()| None)
            }
        };
        Authenticated::new(Box::new(move |engine| {
            engine.authentication.authenticator = Some(authenticator);
            if number == engine.authentication.asked {
                engine.take_said(question, said);
            }
        }))
    }))
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
    pub(super) fn new(authenticator: Option<&dyn CloneAuthenticator>) -> Self {
        Self {
            hooks: authenticator.map(CloneAuthenticator::hooks),
            authenticator: authenticator.map(CloneAuthenticator::to_authenticator),
            is_lost: false,
            question: None,
            asked: 0,
            begins_again: false,
        }
    }

    /// Whether no authenticator is at work.
    pub(super) const fn is_idle(&self) -> bool {
        self.hooks.is_none() || self.authenticator.is_some() || self.is_lost
    }

    fn ask(&mut self, question: Question) {
        self.asked += 1;
        self.question = Some(question);
    }
}

impl Engine {
    /// Takes the answer of the authenticator: see [`Authentication::run`].
    ///
    #[doc = memory_example!()]
    /// # let token = broker::Token(b"a token".to_vec());
    /// use mqtt_wasi::engine::{Action, Call, Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().authenticator(token), 0)?;
    /// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || network.now());
    /// while let Some(action) = engine.poll_action(network.now()) {
    ///     match action {
    ///         Action::Connect { attempt, .. } => engine.connected(attempt, network.now()),
    ///         Action::Authenticate(question) => engine.authenticated(question.run(), network.now()),
    ///         _ => {}
    ///     }
    /// }
    /// assert!(engine.has_outgoing(), "CONNECT");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn authenticated(&mut self, said: Authenticated, now: Instant) {
        self.now = now;
        (said.0)(self);
        self.admit();
    }

    /// Notes that the authenticator panicked. The engine then neither authenticates nor makes another connection.
    ///
    #[doc = memory_example!()]
    /// # let token = broker::Token(b"a token".to_vec());
    /// use mqtt_wasi::engine::{Action, Call, Connecting, Engine};
    /// use mqtt_wasi::{Error, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().authenticator(token), 0)?;
    /// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || network.now());
    /// let Some(Action::Connect { attempt, .. }) = engine.poll_action(network.now()) else { panic!() };
    /// engine.connected(attempt, network.now());
    /// let Some(Action::Authenticate(question)) = engine.poll_action(network.now()) else { panic!() };
    /// drop(question); // its thread panicked
    /// engine.authenticator_lost(network.now());
    /// assert!(matches!(engine.require_open(), Err(Error::Authentication(_))));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn authenticator_lost(&mut self, now: Instant) {
        self.now = now;
        if matches!(self.phase, Phase::Preparing) {
            self.fail_attempt(Error::Authentication("what is called before each attempt panicked".into()));
            return self.admit();
        }
        self.authentication.is_lost = true;
        self.forget_question();
        if matches!(self.phase, Phase::Starting) {
            self.fail_attempt(Error::Authentication(LOST.into()));
        } else if self.authentication.begins_again {
            // The connection is as good as before.
            self.complete_authenticating(&|| Outcome::Failed(Error::Authentication(LOST.into())));
        } else {
            self.fail_authentication(LOST.into());
        }
        self.admit();
    }

    /// Answers the broker's challenge, where the user authenticates [step by step](Engine::authenticate_by_hand).
    ///
    /// # Errors
    /// What ended the connection, if it is over, and as
    /// [`Session::answer_challenge`](crate::session::Session::answer_challenge).
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine, NextStep, Step};
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().authentication("CHALLENGE", None);
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), options, 0)?;
    /// engine.authenticate_by_hand();
    /// network.run(&mut engine, Connecting)?;
    /// while let Step::Challenge(_) = network.run(&mut engine, NextStep)? {
    ///     engine.answer_challenge(b"thermometer-7", network.now())?;
    /// }
    /// assert!(engine.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn answer_challenge(&mut self, data: &[u8], now: Instant) -> Result<(), Error> {
        self.now = now;
        self.pump();
        self.require_open()?;
        Ok(self.session.answer_challenge(data)?)
    }

    /// Begins to authenticate again over this connection (section 4.12.1), where the user does so [step by
    /// step](Engine::authenticate_by_hand).
    ///
    /// # Errors
    /// What ended the connection, if it is over, and as
    /// [`Session::authenticate_again`](crate::session::Session::authenticate_again).
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine, NextStep, Step};
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().authentication("TOKEN", Some(b"a token".to_vec()));
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), options, 0)?;
    /// engine.authenticate_by_hand();
    /// network.run(&mut engine, Connecting)?;
    /// network.run(&mut engine, NextStep)?;
    /// engine.authenticate_again(b"a new token", network.now())?;
    /// assert!(matches!(network.run(&mut engine, NextStep)?, Step::Authenticated(_)));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn authenticate_again(&mut self, data: &[u8], now: Instant) -> Result<(), Error> {
        self.now = now;
        self.pump();
        self.require_open()?;
        self.session.authenticate_again(data)?;
        // How the last time went is no matter any more, if the user has not asked.
        self.step = None;
        Ok(())
    }

    pub(super) const fn take_step(&mut self) -> Option<Step> {
        self.step.take()
    }

    pub(super) const fn has_authenticator(&self) -> bool {
        self.authentication.hooks.is_some()
    }

    pub(super) const fn has_question(&self) -> bool {
        self.authentication.question.is_some() && self.authentication.authenticator.is_some()
    }

    pub(super) fn poll_authentication(&mut self) -> Option<Authentication> {
        if self.has_preparation() {
            return self.preparation.take();
        }
        let State { hooks, authenticator, question, asked, begins_again, .. } = &mut self.authentication;
        let authenticator = authenticator.take_if(|_| question.is_some())?;
        let question = question.take()?;
        *begins_again = matches!(question, Question::StartAgain);
        Some(((*hooks)?.ask)(authenticator, question, *asked))
    }

    /// Whatever it was asked is no matter any more.
    pub(super) fn forget_question(&mut self) {
        self.authentication.asked += 1;
        self.authentication.question = None;
        self.preparation = None;
        self.step = None;
    }

    /// Asks what CONNECT begins with, if there is an authenticator.
    pub(super) fn ask_to_start(&mut self) -> bool {
        match self.authentication.hooks {
            None => false,
            Some(hooks) => {
                (hooks.start)(self);
                true
            }
        }
    }

    fn start_authenticating(&mut self) {
        if self.authentication.is_lost {
            return self.fail_attempt(Error::Authentication(LOST.into()));
        }
        self.timers.set(Timer::Authenticate, self.now + self.connect_timeout);
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
            && (self.authentication.authenticator.is_some() || self.authentication.is_lost)
            && self.authentication.question.is_none()
    }

    pub(super) fn start_authenticating_again(&mut self) -> Result<Submitted, CallError> {
        if !self.has_authenticator() {
            return Err(CallError::NothingToAuthenticate);
        }
        if !self.may_authenticate() {
            return Err(CallError::WouldBlock);
        }
        if self.authentication.is_lost {
            return Ok(Submitted::Done(Outcome::Failed(Error::Authentication(LOST.into()))));
        }
        self.authentication.ask(Question::StartAgain);
        Ok(Submitted::As(CallState::Authenticating))
    }

    pub(super) fn challenged(&mut self, challenge: Challenge) {
        if self.authenticates_by_hand {
            self.step = Some(Step::Challenge(challenge));
        } else if self.has_authenticator() {
            self.authentication.ask(Question::Challenge(challenge));
        } else {
            let why = "the broker sent a challenge: set an authenticator, or authenticate step by step";
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

    fn take_said(&mut self, question: Question, said: Result<Option<Vec<u8>>, String>) {
        let data = match said {
            Ok(data) => data,
            Err(why) => return self.authenticator_failed(&question, why),
        };
        match question {
            Question::Start => {
                self.session.use_authentication_data(data);
                self.start_session();
            }
            Question::StartAgain => {
                if let Err(error) = self.session.begin_authenticating(data.as_deref()) {
                    self.complete_authenticating(&|| Outcome::Failed(error.into()));
                }
            }
            Question::Challenge(_) => match self.session.answer_challenge(&data.unwrap_or_default()) {
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
