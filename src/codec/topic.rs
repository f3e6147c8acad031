//! Topic Names and Topic Filters: what they may look like, and which name a filter matches (section 4.7).

use core::fmt;

/// A Topic Name or Topic Filter that breaks the rules of section 4.7.
///
/// ```
/// use mqtt_wasi::codec::{TopicError, validate_topic_filter};
///
/// let error = validate_topic_filter("sensors/#/kitchen").unwrap_err();
/// assert_eq!(error, TopicError::MisplacedWildcard);
/// assert_eq!(error.to_string(), "'+' must be alone in its level, and '#' alone in the last level");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// It is empty `[MQTT-4.7.3-1]`.
    Empty,
    /// It is longer than 65,535 bytes `[MQTT-4.7.3-3]`.
    TooLong,
    /// It has a null character `[MQTT-4.7.3-2]`.
    NullCharacter,
    /// A Topic Name has `+` or `#`, which only filters may have `[MQTT-4.7.0-1]`.
    Wildcard,
    /// In a Topic Filter, `#` is not alone in the last level `[MQTT-4.7.1-1]` or `+` shares its level
    /// `[MQTT-4.7.1-2]`.
    MisplacedWildcard,
    /// A filter that starts with `$share` lacks a share name `[MQTT-4.8.2-1]` or a filter, or the share name has a
    /// wildcard `[MQTT-4.8.2-2]`.
    InvalidShare,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a topic must not be empty",
            Self::TooLong => "a topic has at most 65,535 bytes",
            Self::NullCharacter => "a topic must not have a null character",
            Self::Wildcard => "a Topic Name must not have the wildcards '+' and '#'",
            Self::MisplacedWildcard => "'+' must be alone in its level, and '#' alone in the last level",
            Self::InvalidShare => "a shared subscription is written $share/name/filter, with no wildcard in the name",
        })
    }
}

impl core::error::Error for TopicError {}

/// Checks a Topic Name, as in PUBLISH and the Will Message (section 4.7).
///
/// # Errors
/// [`TopicError::Empty`], [`TopicError::TooLong`], [`TopicError::NullCharacter`], [`TopicError::Wildcard`].
///
/// ```
/// use mqtt_wasi::codec::{TopicError, validate_topic_name};
///
/// assert_eq!(validate_topic_name("sensors/kitchen"), Ok(()));
/// assert_eq!(validate_topic_name("sensors/#"), Err(TopicError::Wildcard));
/// ```
pub fn validate_topic_name(topic: &str) -> Result<(), TopicError> {
    validate_length(topic)?;
    #[cfg(not(target_family = "wasm"))]
    if !has_low(topic) {
        return Ok(());
    }
    match Scan::new(topic.as_bytes()) {
        Scan { has_null: true, .. } => Err(TopicError::NullCharacter),
        Scan { has_wildcard: true, .. } => Err(TopicError::Wildcard),
        Scan { .. } => Ok(()),
    }
}

/// Checks a Topic Filter, as in SUBSCRIBE and UNSUBSCRIBE, shared subscriptions included (sections 4.7 and 4.8.2).
///
/// # Errors
/// [`TopicError::Empty`], [`TopicError::TooLong`], [`TopicError::NullCharacter`], [`TopicError::MisplacedWildcard`],
/// [`TopicError::InvalidShare`].
///
/// ```
/// use mqtt_wasi::codec::{TopicError, validate_topic_filter};
///
/// assert_eq!(validate_topic_filter("sensors/+/temperature"), Ok(()));
/// assert_eq!(validate_topic_filter("$share/workers/jobs/#"), Ok(()));
/// assert_eq!(validate_topic_filter("sensors/#/temperature"), Err(TopicError::MisplacedWildcard));
/// ```
pub fn validate_topic_filter(filter: &str) -> Result<(), TopicError> {
    validate_length(filter)?;
    #[cfg(not(target_family = "wasm"))]
    if is_usual_filter(filter.as_bytes()) {
        return Ok(());
    }
    validate_each_wildcard(filter)
}

#[cfg_attr(not(target_family = "wasm"), cold, inline(never))]
fn validate_each_wildcard(filter: &str) -> Result<(), TopicError> {
    let bytes = filter.as_bytes();
    let (mut has_null, mut is_misplaced) = (false, false);
    let mut look = |start: usize, word: u64| {
        let mut found = low_bytes(word);
        while found != 0 {
            let place = start + found.trailing_zeros() as usize / 8;
            match bytes.get(place) {
                Some(0) => has_null = true,
                Some(&wildcard @ (b'+' | b'#')) => is_misplaced |= is_misplaced_wildcard(bytes, place, wildcard),
                _ => {}
            }
            found &= found - 1;
        }
    };
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        look(bytes.len() - rest.len(), u64::from_le_bytes(*chunk));
        rest = behind;
    }
    if !rest.is_empty() {
        let last = match bytes.last_chunk::<8>() {
            // Without those that were looked at.
            Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()) | repeat(X) << (8 * rest.len()),
            None => rest.iter().rev().fold(repeat(X), |word, byte| word << 8 | u64::from(*byte)),
        };
        look(bytes.len() - rest.len(), last);
    }
    if has_null {
        return Err(TopicError::NullCharacter);
    }
    if is_shared(filter) {
        // No wildcard is in the share name, and what is before the filter itself ends a level.
        split_share(filter)?;
    }
    if is_misplaced { Err(TopicError::MisplacedWildcard) } else { Ok(()) }
}

/// Whether a Topic Filter that is not empty is valid, and has no character besides its wildcards that is looked for.
#[cfg(not(target_family = "wasm"))]
#[inline]
fn is_usual_filter(filter: &[u8]) -> bool {
    let filter = match filter.strip_prefix(b"$share/") {
        None => filter,
        Some(levels) => {
            let (name, rest) = levels.split_at(level_len(levels));
            match rest {
                [b'/', filter @ ..] if !name.is_empty() && !filter.is_empty() && !has_up_to::<HIGHEST>(name) => filter,
                _ => return false,
            }
        }
    };
    let mut rest = match filter {
        [b'#'] => return true,
        [levels @ .., b'/', b'#'] => levels,
        _ => filter,
    };
    // At the beginning of a level.
    while let Some((before, behind)) = first_low(rest).and_then(|place| rest.split_at_checked(place)) {
        if !matches!(before, [] | [.., b'/']) {
            return false;
        }
        match behind {
            [b'+'] => return true,
            [b'+', b'/', levels @ ..] => rest = levels,
            _ => return false,
        }
        if !has_up_to::<HIGHEST>(rest) {
            break;
        }
    }
    true
}

/// Where the first byte is that is [low](low_bytes).
#[cfg(not(target_family = "wasm"))]
#[inline]
fn first_low(bytes: &[u8]) -> Option<usize> {
    let words = bytes.as_chunks::<8>().0;
    for (index, word) in words.iter().enumerate() {
        let low = low_bytes(u64::from_le_bytes(*word));
        if low != 0 {
            return Some(8 * index + low.trailing_zeros() as usize / 8);
        }
    }
    let start = 8 * words.len();
    bytes[start..].iter().position(|&byte| byte <= HIGHEST).map(|place| start + place)
}

/// Whether there is a character that matters in topics, or one of the few others that are no higher.
#[cfg(not(target_family = "wasm"))]
#[inline(always)]
#[expect(clippy::inline_always, reason = "as `has_up_to`")]
pub(super) fn has_low(topic: &str) -> bool {
    has_up_to::<HIGHEST>(topic.as_bytes())
}

/// Whether any byte is no higher than that. What is short is looked at in two pieces of one size, which overlap.
#[cfg(not(target_family = "wasm"))]
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is a few instructions for what is short")]
fn has_up_to<const HIGHEST: u8>(bytes: &[u8]) -> bool {
    match bytes.len() {
        0 => false,
        1..=3 => bytes[0] <= HIGHEST || bytes[bytes.len() / 2] <= HIGHEST || bytes[bytes.len() - 1] <= HIGHEST,
        4..=7 => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                let word = u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
                bytes_up_to::<HIGHEST>(word) != 0
            }
            _ => false,
        },
        8..=15 => match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => {
                let words = [u64::from_le_bytes(*first), u64::from_le_bytes(*last)];
                bytes_up_to::<HIGHEST>(words[0]) | bytes_up_to::<HIGHEST>(words[1]) != 0
            }
            _ => false,
        },
        16..=32 => match (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
            (Some(first), Some(last)) => {
                first.iter().zip(last).fold(false, |any, (first, last)| any | (*first <= HIGHEST) | (*last <= HIGHEST))
            }
            _ => false,
        },
        _ => long_has_up_to::<HIGHEST>(bytes),
    }
}

#[cfg(not(target_family = "wasm"))]
#[inline(never)]
fn long_has_up_to<const HIGHEST: u8>(bytes: &[u8]) -> bool {
    if let (33..=64, Some(first), Some(last)) = (bytes.len(), bytes.first_chunk::<32>(), bytes.last_chunk::<32>()) {
        return first.iter().zip(last).fold(false, |any, (a, b)| any | (*a <= HIGHEST) | (*b <= HIGHEST));
    }
    let mut any = [false; 16];
    for chunk in bytes.as_chunks::<16>().0.iter().chain(bytes.last_chunk()) {
        for (any, byte) in any.iter_mut().zip(chunk) {
            *any |= *byte <= HIGHEST;
        }
    }
    any.iter().fold(false, |any, here| any | here)
}

/// Whether the wildcard there is a `+` that is not alone in its level, or a `#` that is not alone in the last.
#[inline]
fn is_misplaced_wildcard(filter: &[u8], place: usize, wildcard: u8) -> bool {
    let begins = place == 0 || filter[place - 1] == b'/';
    let ends = match filter.get(place + 1) {
        None => true,
        Some(&next) => wildcard == b'+' && next == b'/',
    };
    !(begins && ends)
}

/// Whether a Topic Filter matches a Topic Name (section 4.7). A shared subscription matches as the filter in it.
/// Neither is checked: for an invalid filter or name the result means nothing.
///
/// A filter that begins with a wildcard does not match a name that begins with `$` `[MQTT-4.7.2-1]`.
///
/// ```
/// use mqtt_wasi::codec::topic_matches;
///
/// assert!(topic_matches("sport/tennis/#", "sport/tennis"));
/// assert!(topic_matches("sport/+", "sport/"));
/// assert!(!topic_matches("sport/+", "sport"));
/// assert!(!topic_matches("#", "$SYS/uptime"));
/// ```
#[must_use]
pub fn topic_matches(filter: &str, topic: &str) -> bool {
    let filter = subscribed_filter(filter);
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    filter == topic || levels_match(filter.as_bytes(), topic.as_bytes())
}

/// The Topic Filter itself, without the name of a share.
pub(crate) fn subscribed_filter(filter: &str) -> &str {
    match is_shared(filter).then(|| split_share(filter)) {
        Some(Ok((_, filter))) => filter,
        // No Topic Name matches it: there is none that is empty.
        Some(Err(_)) => "",
        None => filter,
    }
}

/// Whether what is behind some levels of a Topic Filter matches what is behind as many of a Topic Name. Byte by byte,
/// since levels are short.
pub(crate) fn levels_match(mut filter: &[u8], mut topic: &[u8]) -> bool {
    loop {
        // Both are at the beginning of a level.
        match filter {
            [b'#', ..] => return true,
            [b'+'] | [b'+', b'/', ..] => {
                filter = &filter[1..];
                topic = &topic[level_len(topic)..];
            }
            _ => {
                let len = level_len(filter);
                if len != level_len(topic) || filter[..len] != topic[..len] {
                    return false;
                }
                (filter, topic) = (&filter[len..], &topic[len..]);
            }
        }
        // What is left begins with a `/`.
        match (filter, topic) {
            ([], []) | (b"/#", []) => return true,
            ([], _) | (_, []) => return false,
            ([_, next_filter @ ..], [_, next_topic @ ..]) => (filter, topic) = (next_filter, next_topic),
        }
    }
}

fn level_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte == b'/').unwrap_or(bytes.len())
}

/// Whether there is a null character.
#[inline]
pub(super) fn has_null(text: &str) -> bool {
    #[cfg(not(target_family = "wasm"))]
    return has_up_to::<0>(text.as_bytes());
    #[cfg(target_family = "wasm")]
    Scan::new(text.as_bytes()).has_null
}

/// Whether the filter is a shared subscription, by its first level (section 4.8.2).
pub(crate) fn is_shared(filter: &str) -> bool {
    filter.strip_prefix("$share").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether there is a `+` or `#` anywhere.
pub(crate) fn has_wildcard(topic: &str) -> bool {
    Scan::new(topic.as_bytes()).has_wildcard
}

/// Which of the characters that matter in topics a string has.
///
/// Every string of every packet is looked through, so it is done eight bytes at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) has_null: bool,
    pub(super) has_wildcard: bool,
}

// `+` and `#` differ in one bit, so that they are found at once.
const _: () = assert!((b'+' ^ b'#').count_ones() == 1);

impl Scan {
    #[inline]
    pub(super) fn new(bytes: &[u8]) -> Self {
        #[cfg(not(target_family = "wasm"))]
        if !has_up_to::<HIGHEST>(bytes) {
            return Self::default();
        }
        let (mut null, mut wildcard) = (0, 0);
        // The last eight bytes are looked at whole, whatever of them was seen before.
        let last = bytes.last_chunk::<8>().map_or_else(|| word(bytes), |last| u64::from_le_bytes(*last));
        for chunk in bytes.as_chunks::<8>().0 {
            let word = u64::from_le_bytes(*chunk);
            null |= zero_bytes(word);
            wildcard |= wildcards(word);
        }
        Self { has_null: (null | zero_bytes(last)) != 0, has_wildcard: (wildcard | wildcards(last)) != 0 }
    }
}

/// Eight bytes at most, the first of them lowest, and spaces behind them.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [b' '; 8];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

/// Not zero if any of the eight bytes is `+` or `#`: as [`zero_bytes`].
const fn wildcards(word: u64) -> u64 {
    zero_bytes((word & !repeat(b'+' ^ b'#')) ^ repeat(b'+' & b'#'))
}

const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// What neither matters nor is low.
const X: u8 = b'x';

/// Not zero if any of the eight bytes is one of those that matter, or one of the few others that are no higher. The
/// lowest bit that is set is that of the first of them; some above it may be set for no reason.
const fn low_bytes(word: u64) -> u64 {
    bytes_up_to::<HIGHEST>(word)
}

/// The highest of those that matter.
const HIGHEST: u8 = b'+';

const _: () = assert!(b'#' < HIGHEST && HIGHEST < X);

/// Not zero if any of the eight bytes is. The lowest bit that is set is that of the first.
const fn zero_bytes(word: u64) -> u64 {
    bytes_up_to::<0>(word)
}

/// Not zero if any of the eight bytes is no higher than that, which is below 0x80. The lowest bit that is set is that
/// of the first.
const fn bytes_up_to<const HIGHEST: u8>(word: u64) -> u64 {
    word.wrapping_sub(repeat(HIGHEST + 1)) & !word & repeat(0x80)
}

/// The share name and the filter of `$share/{name}/{filter}`.
fn split_share(filter: &str) -> Result<(&str, &str), TopicError> {
    let levels = filter.strip_prefix("$share/").map(|levels| levels.split_at(level_len(levels.as_bytes())));
    match levels.map(|(name, rest)| (name, rest.strip_prefix('/'))) {
        Some((name, Some(filter))) if !name.is_empty() && !filter.is_empty() && !has_wildcard(name) => {
            Ok((name, filter))
        }
        _ => Err(TopicError::InvalidShare),
    }
}

fn validate_length(topic: &str) -> Result<(), TopicError> {
    match topic.len() {
        0 => Err(TopicError::Empty),
        1..=0xFFFF => Ok(()),
        _ => Err(TopicError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_section_4_7() {
        for good in ["a", "/", "//", "/a", "a/", "$SYS/x", "a b/ü", "sport+".trim_end_matches('+')] {
            assert_eq!(validate_topic_name(good), Ok(()), "{good}");
        }
        assert_eq!(validate_topic_name(""), Err(TopicError::Empty));
        assert_eq!(validate_topic_name("a\0"), Err(TopicError::NullCharacter));
        assert_eq!(validate_topic_name("a+"), Err(TopicError::Wildcard));
        assert_eq!(validate_topic_name(&"a".repeat(65_536)), Err(TopicError::TooLong));
    }

    #[test]
    fn a_scan_finds_each_character_at_each_place() {
        for len in 0..100 {
            let plain = alloc::vec![b'a'; len];
            assert_eq!(Scan::new(&plain), Scan::default(), "{len}");
            for place in 0..len {
                for byte in 0..=255 {
                    let mut bytes = plain.clone();
                    bytes[place] = byte;
                    let expected = Scan { has_null: byte == 0, has_wildcard: byte == b'+' || byte == b'#' };
                    assert_eq!(Scan::new(&bytes), expected, "{byte} at {place} of {len}");
                }
            }
        }
    }

    #[test]
    #[cfg(not(target_family = "wasm"))]
    fn low_bytes_are_found_at_each_place_however_long_the_text_is() {
        for len in 0..100 {
            let plain = alloc::vec![b'a'; len];
            assert!(!has_up_to::<0>(&plain) && !has_up_to::<HIGHEST>(&plain), "{len}");
            assert_eq!(first_low(&plain), None, "{len}");
            for place in 0..len {
                for byte in 0..=255 {
                    let mut bytes = plain.clone();
                    bytes[place] = byte;
                    assert_eq!(has_up_to::<0>(&bytes), byte == 0, "{byte} at {place} of {len}");
                    assert_eq!(has_up_to::<HIGHEST>(&bytes), byte <= HIGHEST, "{byte} at {place} of {len}");
                    assert_eq!(first_low(&bytes), (byte <= HIGHEST).then_some(place), "{byte} at {place} of {len}");
                }
            }
        }
    }

    /// What is usual is let through before each wildcard is looked at, so nothing else may be usual.
    #[test]
    #[cfg(not(target_family = "wasm"))]
    fn a_usual_filter_is_one_that_holds_out_when_each_wildcard_is_looked_at() {
        const CHARACTERS: [char; 6] = ['a', '/', '+', '#', '\0', '$'];
        const LEN: u32 = 5;
        let mut usual = 0;
        for number in 0..CHARACTERS.len().pow(LEN) {
            let text: alloc::string::String =
                (0..LEN).map(|place| CHARACTERS[number / CHARACTERS.len().pow(place) % CHARACTERS.len()]).collect();
            for before in ["", "$share/", "$share/g/", "sensors/kitchen/", "sensors/kitchen"] {
                for len in 1..=text.len() {
                    let filter = alloc::format!("{before}{}", &text[..len]);
                    let exact = validate_each_wildcard(&filter);
                    assert_eq!(validate_topic_filter(&filter), exact, "{filter:?}");
                    usual += u32::from(is_usual_filter(filter.as_bytes()));
                    if !filter.contains(['$', '\0']) {
                        assert_eq!(is_usual_filter(filter.as_bytes()), exact.is_ok(), "{filter:?}");
                    }
                }
            }
        }
        assert_ne!(usual, 0);
    }

    #[test]
    fn filters_keep_to_sections_4_7_and_4_8() {
        for good in ["#", "+", "/#", "+/+", "+/tennis/#", "$share/g/a/#", "$share/g//", "$shared", "$SYS/#"] {
            assert_eq!(validate_topic_filter(good), Ok(()), "{good}");
        }
        for bad in ["a#", "#/a", "a/#/b", "sport+", "+a/b", "##"] {
            assert_eq!(validate_topic_filter(bad), Err(TopicError::MisplacedWildcard), "{bad}");
        }
        for bad in ["$share", "$share/", "$share/g", "$share/g/", "$share//a", "$share/g+/a", "$share/#/a"] {
            assert_eq!(validate_topic_filter(bad), Err(TopicError::InvalidShare), "{bad}");
        }
    }

    #[test]
    fn a_null_character_is_found_at_each_place_of_a_filter_and_nothing_else_is() {
        for len in 1..30 {
            for place in 0..len {
                for character in ['\0', ' ', '*', ',', 'ü'] {
                    let filter: alloc::string::String =
                        (0..len).map(|at| if at == place { character } else { 'a' }).collect();
                    assert_eq!(validate_topic_filter(&filter).is_ok(), character != '\0', "{filter:?}");
                }
            }
        }
    }

    #[test]
    fn a_wildcard_is_judged_at_each_place() {
        for len in 1..30 {
            for place in 0..len {
                for wildcard in ['+', '#'] {
                    for around in ["a", "/", "*", "\"", "ü"] {
                        let mut levels = alloc::vec![around; len];
                        let text = alloc::string::String::from(wildcard);
                        levels[place] = &text;
                        let filter = levels.concat();
                        let is_alone = len == 1 || around == "/";
                        let holds = is_alone && (wildcard == '+' || place + 1 == len);
                        assert_eq!(validate_topic_filter(&filter).is_ok(), holds, "{filter}");
                    }
                }
            }
        }
    }

    #[test]
    fn matching_follows_the_examples_of_section_4_7() {
        for (filter, topic) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "a/b"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/"),
            ("$SYS/monitor/+", "$SYS/monitor/Clients"),
            ("$share/consumer/sport/+", "sport/tennis"),
        ] {
            assert!(topic_matches(filter, topic), "{filter} should match {topic}");
        }
        for (filter, topic) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("+", "/finance"),
            ("+/monitor/Clients", "$SYS/monitor/Clients"),
            ("accounts", "Accounts"),
            ("a/b", "a/b/"),
            ("$share/g", "g"),
        ] {
            assert!(!topic_matches(filter, topic), "{filter} should not match {topic}");
        }
    }
}
