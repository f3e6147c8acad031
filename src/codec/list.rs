//! Lists inside a packet: read off the wire one by one when received, a plain slice when sent. Neither allocates.

use core::fmt;

use super::PacketType;
use super::read::Reader;

/// The entries of a list in a packet: Topic Filters, Reason Codes, User Properties or Subscription Identifiers.
///
/// A received list is checked when its packet is decoded, and read again, entry by entry, when it is iterated. A list
/// to be sent is made of a slice. Neither allocates.
///
/// ```
/// use mqtt_wasi::codec::UserProperties;
///
/// let properties = UserProperties::from(&[("unit", "celsius"), ("unit", "kelvin")]);
/// assert_eq!(properties.iter().last(), Some(("unit", "kelvin")));
/// ```
pub struct List<'a, T>(Repr<'a, T>);

enum Repr<'a, T> {
    /// Checked bytes, with entries of other lists between them where the packet has them so.
    Wire(&'a [u8]),
    Slice(&'a [T]),
}

/// An entry that can be read off checked bytes.
pub(super) trait Entry<'a>: Copy {
    /// The next entry, or `None` at the end.
    fn next(reader: &mut Reader<'a>) -> Option<Self>;
}

impl<'a, T> List<'a, T> {
    pub(super) const fn wire(checked: &'a [u8]) -> Self {
        Self(Repr::Wire(checked))
    }

    /// Whether there is no entry.
    ///
    /// ```
    /// use mqtt_wasi::codec::UserProperties;
    ///
    /// assert!(UserProperties::default().is_empty());
    /// assert!(!UserProperties::from(&[("unit", "celsius")]).is_empty());
    /// ```
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match self.0 {
            // Decoding makes a list of the wire only where it found an entry.
            Repr::Wire(bytes) => bytes.is_empty(),
            Repr::Slice(entries) => entries.is_empty(),
        }
    }

    /// About how long a list of strings is on the wire.
    #[cfg(not(target_family = "wasm"))]
    pub(super) const fn likely_len(&self) -> usize {
        match self.0 {
            Repr::Wire(bytes) => bytes.len(),
            Repr::Slice(entries) => entries.len().saturating_mul(20),
        }
    }
}

#[expect(private_bounds, reason = "entries are the codec's own types, a closed set")]
impl<'a, T: Entry<'a>> List<'a, T> {
    /// The entries, in the order that they have in the packet.
    ///
    /// ```
    /// use mqtt_wasi::codec::UserProperties;
    ///
    /// let properties = UserProperties::from(&[("unit", "celsius"), ("place", "kitchen")]);
    /// let names: Vec<_> = properties.iter().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["unit", "place"]);
    /// ```
    pub fn iter(&self) -> Iter<'a, T> {
        Iter(match self.0 {
            // The packet type serves error messages alone, and checked bytes yield none.
            Repr::Wire(bytes) => IterRepr::Wire(Reader::new(PacketType::Publish, bytes)),
            Repr::Slice(entries) => IterRepr::Slice(entries.iter()),
        })
    }
}

/// Iterates over a [`List`].
///
/// ```
/// use mqtt_wasi::codec::{Iter, SubscriptionIdentifiers};
///
/// let identifiers = SubscriptionIdentifiers::from(&[7, 9]);
/// let mut iter: Iter<'_, u32> = identifiers.iter();
/// assert_eq!((iter.next(), iter.next(), iter.next()), (Some(7), Some(9), None));
/// ```
pub struct Iter<'a, T>(IterRepr<'a, T>);

enum IterRepr<'a, T> {
    Wire(Reader<'a>),
    Slice(core::slice::Iter<'a, T>),
}

impl<'a, T: Entry<'a>> Iterator for Iter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            // So that an iterator over a slice need not be in memory.
            #[cfg(not(target_family = "wasm"))]
            IterRepr::Wire(reader) => {
                let mut moved = reader.clone();
                let next = T::next(&mut moved);
                *reader = moved;
                next
            }
            #[cfg(target_family = "wasm")]
            IterRepr::Wire(reader) => T::next(reader),
            IterRepr::Slice(entries) => entries.next().copied(),
        }
    }
}

impl<'a, T: Entry<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Entry<'a>> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self(Repr::Slice(&[]))
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(entries: &'a [T]) -> Self {
        Self(Repr::Slice(entries))
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(entries: &'a [T; N]) -> Self {
        Self(Repr::Slice(entries))
    }
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<T> Clone for Repr<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Repr<'_, T> {}

impl<'a, T: Entry<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Entry<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: Entry<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
