//! The addresses of `spin:mqtt`: the URL of a broker, with the Client Identifier in its query.

use alloc::string::String;

/// What an address says.
#[derive(Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The URL, without the query.
    pub url: &'a str,
    /// The Client Identifier, decoded.
    pub client_id: Option<String>,
}

/// Why an address cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The query has a parameter that is unknown, or one twice. It is named, without its value.
    Parameter(String),
    /// There is a fragment, which has no meaning here.
    Fragment,
}

impl<'a> Address<'a> {
    /// Splits an address.
    ///
    /// # Errors
    /// When the query has anything but one `client_id`, or the address has a fragment. Whether the URL is one of a
    /// broker is left to the client.
    pub fn parse(address: &'a str) -> Result<Self, AddressError> {
        if address.contains('#') {
            return Err(AddressError::Fragment);
        }
        let (url, query) = address.split_once('?').unwrap_or((address, ""));
        let mut client_id = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name != "client_id" || client_id.is_some() {
                return Err(AddressError::Parameter(name.into_owned()));
            }
            client_id = Some(value.into_owned());
        }
        Ok(Self { url, client_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(address: &str) -> (&str, Option<String>) {
        let address = Address::parse(address).unwrap();
        (address.url, address.client_id)
    }

    #[test]
    fn client_id_is_taken_out_of_the_query() {
        assert_eq!(parsed("mqtt://a:1883?client_id=123"), ("mqtt://a:1883", Some("123".into())));
        assert_eq!(
            parsed("mqtts://u:p%40@[::1]/?client_id=a%20b%C3%A9+c"),
            ("mqtts://u:p%40@[::1]/", Some("a bé c".into()))
        );
    }

    #[test]
    fn address_without_client_id_has_none() {
        for address in ["mqtt://a", "mqtt://a?"] {
            assert_eq!(parsed(address), ("mqtt://a", None));
        }
        assert_eq!(parsed("mqtt://a?client_id="), ("mqtt://a", Some(String::new())));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let refused = |address| Address::parse(address).unwrap_err();
        assert_eq!(refused("mqtt://a?client_id=1&clean=x"), AddressError::Parameter("clean".into()));
        assert_eq!(refused("mqtt://a?client_id=1&client_id=2"), AddressError::Parameter("client_id".into()));
        assert_eq!(refused("mqtt://a?client_id=1#b"), AddressError::Fragment);
    }
}
