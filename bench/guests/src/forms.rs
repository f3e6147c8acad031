//! The forms in which messages cross from one component to another: how a list is made of bytes, and how there are
//! bytes again. Both the caller and the callee have this, over the types that each has generated.
//!
//! Nothing is copied that safe Rust can look at where it is.

use std::borrow::Cow;
use std::marker::PhantomData;

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::elements::{BytesMessage, Eight, Four, Joined, TextMessage, WordsMessage};

/// What every message has that has a topic.
const TOPIC: &str = "sensors/kitchen/temperature";

/// Calls a macro with all forms: of one message, of several, and of several with their topics. Each has its name, its
/// type, and its functions in WIT.
macro_rules! with_forms {
    ($callback:ident) => {
        $callback! {
            of_one {
                "list<u8>", Bytes, take_u8, give_u8;
                "list<s8>", One<i8>, take_s8, give_s8;
                "list<u16>", One<u16>, take_u16, give_u16;
                "list<u32>", One<u32>, take_u32, give_u32;
                "list<u64>", One<u64>, take_u64, give_u64;
                "list<f64>", One<f64>, take_f64, give_f64;
                "list<tuple<u64, u64>>", One<(u64, u64)>, take_pair, give_pair;
                "list<tuple<u64, u64, u64, u64>>", One<(u64, u64, u64, u64)>, take_quadruple, give_quadruple;
                "list<record of 4 u64>", One<elements::Four>, take_four, give_four;
                "list<record of 8 u64>", One<elements::Eight>, take_eight, give_eight;
                "string", Text, take_text, give_text;
            }
            of_several {
                "list<list<u8>>", AllBytes, take_bytes, give_bytes;
                "list<string>", AllTexts, take_texts, give_texts;
                "list<list<u64>>", AllWords, take_words, give_words;
                "string, list<u32>", JoinedTexts, take_joined, give_joined;
                "packed list<u8>", Packed<u8, false>, take_packed_u8, give_packed_u8;
                "packed list<u64>", Packed<u64, false>, take_packed_u64, give_packed_u64;
                "packed list<tuple<u64, u64, u64, u64>>",
                    Packed<(u64, u64, u64, u64), false>, take_packed_quadruple, give_packed_quadruple;
                "packed list<record of 4 u64>", Packed<elements::Four, false>, take_packed_four, give_packed_four;
            }
            with_topics {
                "list<record {topic: string, payload: list<u8>}>",
                    BytesMessages, take_bytes_messages, give_bytes_messages;
                "list<record {topic: string, payload: string}>", TextMessages, take_text_messages, give_text_messages;
                "list<record {topic: string, payload: list<u64>}>",
                    WordsMessages, take_words_messages, give_words_messages;
                "packed list<u8>, topics in it", Packed<u8, true>, take_topics_u8, give_topics_u8;
                "packed list<u64>, topics in it", Packed<u64, true>, take_topics_u64, give_topics_u64;
                "packed list<record of 4 u64>, topics in it",
                    Packed<elements::Four, true>, take_topics_four, give_topics_four;
            }
        }
    };
}
pub(crate) use with_forms;

/// What a user has who publishes, or a client that has received: the same in both components.
#[derive(Default)]
pub(crate) struct Messages {
    payloads: Vec<Vec<u8>>,
    /// The same as text.
    texts: Vec<String>,
}

impl Messages {
    /// So many of this size, one at least.
    pub(crate) fn new(count: u32, size: u32) -> Self {
        let text = |number: u32| (0..size).map(|index| char::from(b' ' + ((number + index) % 95) as u8)).collect();
        let texts: Vec<String> = (0..count).map(text).collect();
        Self { payloads: texts.iter().map(|text| text.clone().into_bytes()).collect(), texts }
    }

    /// Of each.
    fn size(&self) -> usize {
        self.payloads[0].len()
    }
}

/// A way to say messages in WIT.
pub(crate) trait Form {
    /// As it is generated.
    type List;
    /// What a receiver may keep: `()` where that is the list itself.
    type Kept;

    /// Makes it of bytes.
    fn make(messages: &Messages) -> Self::List;

    /// What is at hand to be sent: made, unless the messages are that already.
    fn lend<R>(messages: &Messages, send: impl FnOnce(&Self::List) -> R) -> R {
        send(&Self::make(messages))
    }

    /// A sum of all messages, each of which is looked at as bytes. What is behind `size` bytes is not the message's.
    fn look(list: &Self::List, size: usize) -> u32;

    /// Has bytes of it that stay.
    fn unpack(list: &Self::List, size: usize) -> Self::Kept;
}

/// Looks at a message of this form that came as it should have.
pub(crate) fn look<F: Form>(list: &F::List, messages: &Messages) -> u32 {
    F::look(list, messages.size())
}

pub(crate) fn unpack<F: Form>(list: &F::List, messages: &Messages) -> F::Kept {
    F::unpack(list, messages.size())
}

/// A length and a byte: who has both has found where the message is.
fn glance(bytes: &[u8]) -> u32 {
    let last = bytes.last().copied().unwrap_or_default();
    (bytes.len() as u32).wrapping_mul(256).wrapping_add(last.into())
}

fn sum<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    messages.into_iter().map(glance).fold(0, u32::wrapping_add)
}

fn text(bytes: &[u8]) -> String {
    str::from_utf8(bytes).expect("the messages are text").into()
}

/// One message as bytes, which is what everybody has.
pub(crate) struct Bytes;

impl Form for Bytes {
    type List = Vec<u8>;
    type Kept = ();

    fn make(messages: &Messages) -> Vec<u8> {
        messages.payloads[0].clone()
    }

    fn lend<R>(messages: &Messages, send: impl FnOnce(&Vec<u8>) -> R) -> R {
        send(&messages.payloads[0])
    }

    fn look(list: &Vec<u8>, _: usize) -> u32 {
        glance(list)
    }

    fn unpack(_: &Vec<u8>, _: usize) {}
}

/// One message as text. Who makes it of bytes has to see whether they are text.
pub(crate) struct Text;

impl Form for Text {
    type List = String;
    type Kept = ();

    fn make(messages: &Messages) -> String {
        text(&messages.payloads[0])
    }

    fn lend<R>(messages: &Messages, send: impl FnOnce(&String) -> R) -> R {
        send(&messages.texts[0])
    }

    fn look(list: &String, _: usize) -> u32 {
        glance(list.as_bytes())
    }

    fn unpack(_: &String, _: usize) {}
}

/// One message in elements of several bytes, the last of which may have some that are not the message's.
pub(crate) struct One<T>(PhantomData<T>);

impl<T: Element> Form for One<T> {
    type List = Vec<T>;
    type Kept = Vec<u8>;

    fn make(messages: &Messages) -> Vec<T> {
        T::of(&messages.payloads[0])
    }

    fn look(list: &Vec<T>, size: usize) -> u32 {
        glance(&T::bytes(list)[..size])
    }

    fn unpack(list: &Vec<T>, size: usize) -> Vec<u8> {
        T::owned(list, size)
    }
}

/// What a list may be of.
pub(crate) trait Element: Sized {
    /// As many as it takes for these bytes.
    fn of(bytes: &[u8]) -> Vec<Self>;

    /// As many as it takes for so many bytes, which are written afterwards.
    fn write(len: usize, write: impl FnOnce(&mut [u8])) -> Vec<Self>;

    fn bytes(list: &[Self]) -> Cow<'_, [u8]>;

    /// As many bytes from the beginning.
    fn owned(list: &[Self], size: usize) -> Vec<u8>;
}

/// What the compiler knows to be nothing but its bytes.
macro_rules! plain_element {
    ($($element:ty),*) => {
        $(impl Element for $element {
            fn of(bytes: &[u8]) -> Vec<Self> {
                Self::write(bytes.len(), |room| room.copy_from_slice(bytes))
            }

            fn write(len: usize, write: impl FnOnce(&mut [u8])) -> Vec<Self> {
                let count = len.div_ceil(size_of::<Self>());
                let mut list = Self::new_vec_zeroed(count).expect("there is memory");
                write(&mut list.as_mut_bytes()[..len]);
                list
            }

            fn bytes(list: &[Self]) -> Cow<'_, [u8]> {
                list.as_bytes().into()
            }

            fn owned(list: &[Self], size: usize) -> Vec<u8> {
                list.as_bytes()[..size].to_vec()
            }
        })*
    };
}

plain_element!(u8, i8, u16, u32, u64, f64, Four, Eight);

/// Nobody promises how Rust lays out a tuple, so its bytes can only be had one number after the other.
macro_rules! tuple_element {
    ($($element:ty as $array:ty),*) => {
        $(impl Element for $element {
            fn of(bytes: &[u8]) -> Vec<Self> {
                let (whole, rest) = <[$array]>::ref_from_prefix_with_elems(bytes, bytes.len() / size_of::<$array>())
                    .expect("numbers in bytes need no alignment");
                let mut list = Vec::with_capacity(bytes.len().div_ceil(size_of::<$array>()));
                list.extend(whole.iter().map(|array| <$element>::from(array.map(zerocopy::little_endian::U64::get))));
                if !rest.is_empty() {
                    let mut last = <$array>::new_zeroed();
                    last.as_mut_bytes()[..rest.len()].copy_from_slice(rest);
                    list.push(last.map(zerocopy::little_endian::U64::get).into());
                }
                list
            }

            fn write(len: usize, write: impl FnOnce(&mut [u8])) -> Vec<Self> {
                let mut bytes = vec![0; len];
                write(&mut bytes);
                Self::of(&bytes)
            }

            fn bytes(list: &[Self]) -> Cow<'_, [u8]> {
                Self::owned(list, size_of_val(list)).into()
            }

            fn owned(list: &[Self], size: usize) -> Vec<u8> {
                let mut bytes = Vec::with_capacity(size_of_val(list));
                for &element in list {
                    let array: $array = <[u64; size_of::<$array>() / 8]>::from(element).map(Into::into);
                    bytes.extend_from_slice(array.as_bytes());
                }
                bytes.truncate(size);
                bytes
            }
        })*
    };
}

tuple_element!(
    (u64, u64) as [zerocopy::little_endian::U64; 2],
    (u64, u64, u64, u64) as [zerocopy::little_endian::U64; 4]
);

/// Several messages, each a list of bytes of its own.
pub(crate) struct AllBytes;

impl Form for AllBytes {
    type List = Vec<Vec<u8>>;
    type Kept = ();

    fn make(messages: &Messages) -> Vec<Vec<u8>> {
        messages.payloads.clone()
    }

    fn lend<R>(messages: &Messages, send: impl FnOnce(&Vec<Vec<u8>>) -> R) -> R {
        send(&messages.payloads)
    }

    fn look(list: &Vec<Vec<u8>>, _: usize) -> u32 {
        sum(list.iter().map(Vec::as_slice))
    }

    fn unpack(_: &Vec<Vec<u8>>, _: usize) {}
}

/// Several messages, each a string of its own.
pub(crate) struct AllTexts;

impl Form for AllTexts {
    type List = Vec<String>;
    type Kept = ();

    fn make(messages: &Messages) -> Vec<String> {
        messages.payloads.iter().map(|bytes| text(bytes)).collect()
    }

    fn lend<R>(messages: &Messages, send: impl FnOnce(&Vec<String>) -> R) -> R {
        send(&messages.texts)
    }

    fn look(list: &Vec<String>, _: usize) -> u32 {
        sum(list.iter().map(String::as_bytes))
    }

    fn unpack(_: &Vec<String>, _: usize) {}
}

/// Several messages, each a list of its own, in elements of eight bytes.
pub(crate) struct AllWords;

impl Form for AllWords {
    type List = Vec<Vec<u64>>;
    type Kept = Vec<Vec<u8>>;

    fn make(messages: &Messages) -> Vec<Vec<u64>> {
        messages.payloads.iter().map(|bytes| u64::of(bytes)).collect()
    }

    fn look(list: &Vec<Vec<u64>>, size: usize) -> u32 {
        sum(list.iter().map(|words| &words.as_bytes()[..size]))
    }

    fn unpack(list: &Vec<Vec<u64>>, size: usize) -> Vec<Vec<u8>> {
        list.iter().map(|words| u64::owned(words, size)).collect()
    }
}

/// Several messages in one string.
pub(crate) struct JoinedTexts;

impl JoinedTexts {
    fn split(joined: &Joined) -> impl Iterator<Item = &str> {
        let mut rest = joined.text.as_str();
        joined.lengths.iter().map(move |&len| {
            let (text, behind) = rest.split_at(len as usize);
            rest = behind;
            text
        })
    }
}

impl Form for JoinedTexts {
    type List = Joined;
    type Kept = Vec<String>;

    fn make(messages: &Messages) -> Joined {
        let mut text = String::with_capacity(messages.payloads.iter().map(Vec::len).sum());
        for bytes in &messages.payloads {
            text += str::from_utf8(bytes).expect("the messages are text");
        }
        Joined { text, lengths: messages.payloads.iter().map(|bytes| bytes.len() as u32).collect() }
    }

    /// Texts are text already.
    fn lend<R>(messages: &Messages, send: impl FnOnce(&Joined) -> R) -> R {
        let lengths = messages.texts.iter().map(|text| text.len() as u32).collect();
        send(&Joined { text: messages.texts.concat(), lengths })
    }

    fn look(list: &Joined, _: usize) -> u32 {
        sum(Self::split(list).map(str::as_bytes))
    }

    fn unpack(list: &Joined, _: usize) -> Vec<String> {
        Self::split(list).map(Into::into).collect()
    }
}

/// Several messages in one list: each as its length and its bytes, behind the length and the bytes of its topic if it
/// comes with that. In front of all is how many there are.
pub(crate) struct Packed<T, const HAS_TOPICS: bool>(PhantomData<T>);

impl<T, const HAS_TOPICS: bool> Packed<T, HAS_TOPICS> {
    const PREFIX: usize = size_of::<u32>();

    /// The topic, which may be empty, and the payload of each.
    fn read(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        fn number(rest: &mut &[u8]) -> usize {
            let (number, behind) = rest.split_first_chunk().expect("a number is there");
            *rest = behind;
            u32::from_le_bytes(*number) as usize
        }
        fn string<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
            let len = number(rest);
            let (string, behind) = rest.split_at(len);
            *rest = behind;
            string
        }
        let mut rest = bytes;
        let count = number(&mut rest);
        (0..count).map(move |_| {
            let topic = if HAS_TOPICS { string(&mut rest) } else { &[] };
            (topic, string(&mut rest))
        })
    }
}

impl<T: Element, const HAS_TOPICS: bool> Form for Packed<T, HAS_TOPICS> {
    type List = Vec<T>;
    type Kept = Vec<(String, Vec<u8>)>;

    fn make(messages: &Messages) -> Vec<T> {
        fn put<'a>(room: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
            let (place, behind) = room.split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
            behind
        }
        let of_topic = if HAS_TOPICS { Self::PREFIX + TOPIC.len() } else { 0 };
        let of_each = messages.payloads.iter().map(|bytes| of_topic + Self::PREFIX + bytes.len());
        T::write(Self::PREFIX + of_each.sum::<usize>(), |room| {
            let mut room = put(room, &(messages.payloads.len() as u32).to_le_bytes());
            for bytes in &messages.payloads {
                if HAS_TOPICS {
                    room = put(room, &(TOPIC.len() as u32).to_le_bytes());
                    room = put(room, TOPIC.as_bytes());
                }
                room = put(room, &(bytes.len() as u32).to_le_bytes());
                room = put(room, bytes);
            }
        })
    }

    fn look(list: &Vec<T>, _: usize) -> u32 {
        let each = |(topic, payload)| glance(topic).wrapping_add(glance(payload));
        Self::read(&T::bytes(list)).map(each).fold(0, u32::wrapping_add)
    }

    fn unpack(list: &Vec<T>, _: usize) -> Vec<(String, Vec<u8>)> {
        Self::read(&T::bytes(list)).map(|(topic, payload)| (text(topic), payload.to_vec())).collect()
    }
}

/// Several messages, each a record, with its payload as bytes.
pub(crate) struct BytesMessages;

impl Form for BytesMessages {
    type List = Vec<BytesMessage>;
    type Kept = ();

    fn make(messages: &Messages) -> Vec<BytesMessage> {
        messages.payloads.iter().map(|bytes| BytesMessage { topic: TOPIC.into(), payload: bytes.clone() }).collect()
    }

    fn look(list: &Vec<BytesMessage>, _: usize) -> u32 {
        sum(list.iter().flat_map(|message| [message.topic.as_bytes(), &message.payload]))
    }

    fn unpack(_: &Vec<BytesMessage>, _: usize) {}
}

/// Several messages, each a record, with its payload as text.
pub(crate) struct TextMessages;

impl Form for TextMessages {
    type List = Vec<TextMessage>;
    type Kept = ();

    fn make(messages: &Messages) -> Vec<TextMessage> {
        messages.payloads.iter().map(|bytes| TextMessage { topic: TOPIC.into(), payload: text(bytes) }).collect()
    }

    fn lend<R>(messages: &Messages, send: impl FnOnce(&Vec<TextMessage>) -> R) -> R {
        let message = |text: &String| TextMessage { topic: TOPIC.into(), payload: text.clone() };
        send(&messages.texts.iter().map(message).collect())
    }

    fn look(list: &Vec<TextMessage>, _: usize) -> u32 {
        sum(list.iter().flat_map(|message| [message.topic.as_bytes(), message.payload.as_bytes()]))
    }

    fn unpack(_: &Vec<TextMessage>, _: usize) {}
}

/// Several messages, each a record, with its payload in elements of eight bytes.
pub(crate) struct WordsMessages;

impl Form for WordsMessages {
    type List = Vec<WordsMessage>;
    type Kept = Vec<Vec<u8>>;

    fn make(messages: &Messages) -> Vec<WordsMessage> {
        let message =
            |bytes: &Vec<u8>| WordsMessage { topic: TOPIC.into(), payload: u64::of(bytes), length: bytes.len() as u32 };
        messages.payloads.iter().map(message).collect()
    }

    fn look(list: &Vec<WordsMessage>, _: usize) -> u32 {
        let payload = |message: &WordsMessage| glance(&message.payload.as_bytes()[..message.length as usize]);
        let each = |message: &WordsMessage| glance(message.topic.as_bytes()).wrapping_add(payload(message));
        list.iter().map(each).fold(0, u32::wrapping_add)
    }

    fn unpack(list: &Vec<WordsMessage>, _: usize) -> Vec<Vec<u8>> {
        list.iter().map(|message| u64::owned(&message.payload, message.length as usize)).collect()
    }
}
