//! Who is reached without a proxy: lists as in the variable `NO_PROXY`, of names with their subdomains, addresses, and
//! blocks of addresses, each with or without a port.

use core::net::IpAddr;

/// Whether a host is in the list.
pub(super) fn is_bypassed(host: &str, port: u16, list: &str) -> bool {
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| matches(host, port, entry))
}

fn matches(host: &str, port: u16, entry: &str) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>()
        && let Some(is_in) = is_in_block(address, entry)
    {
        return is_in;
    }
    let (name, wanted_port) = split_port(entry);
    if wanted_port.is_some_and(|wanted| wanted.parse() != Ok(port)) {
        return false;
    }
    let name = name.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
    let host = host.trim_end_matches('.');
    // `example.com` is also for its subdomains, and never for `notexample.com`.
    match (name.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), Err(_)) => match host.len().checked_sub(name.len()) {
            Some(0) => host.eq_ignore_ascii_case(name),
            Some(before) => {
                host.as_bytes()[before - 1] == b'.' && host.as_bytes()[before..].eq_ignore_ascii_case(name.as_bytes())
            }
            None => false,
        },
        _ => false,
    }
}

/// Splits `name`, `name:port`, `[address]` and `[address]:port`. An address of IPv6 alone has no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':'));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => (name, Some(port)),
        _ => (entry, None),
    }
}

/// Whether an address is in a block such as `10.0.0.0/8`; `None` for what is no block.
fn is_in_block(address: IpAddr, block: &str) -> Option<bool> {
    let (start, len) = block.split_once('/')?;
    let (start, len) = (start.parse::<IpAddr>().ok()?, len.parse::<u32>().ok()?);
    Some(match (address, start) {
        (IpAddr::V4(address), IpAddr::V4(start)) => {
            len <= 32 && (address.to_bits() ^ start.to_bits()).checked_shr(32 - len).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(start)) => {
            len <= 128 && (address.to_bits() ^ start.to_bits()).checked_shr(128 - len).unwrap_or(0) == 0
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_names_hosts_domains_addresses_and_blocks() {
        for (list, host, port, expected) in [
            ("", "a.example", 1, false),
            ("*", "a.example", 1, true),
            ("example", "example", 1, true),
            ("EXAMPLE", "a.example", 1, true),
            (".example", "a.example.", 1, true),
            ("*.example", "b.a.example", 1, true),
            ("example", "anexample", 1, false),
            ("a.example", "example", 1, false),
            ("x, a.example ,y", "a.example", 1, true),
            ("example:8883", "a.example", 8883, true),
            ("example:8883", "a.example", 1883, false),
            ("127.0.0.1", "127.0.0.1", 1, true),
            ("127.0.0.1", "127.0.0.2", 1, false),
            ("0.0.1", "127.0.0.1", 1, false),
            ("127.0.0.1:80", "127.0.0.1", 81, false),
            ("::1", "::1", 1, true),
            ("[::1]:80", "::1", 80, true),
            ("[::1]:80", "::1", 81, false),
            ("10.0.0.0/8", "10.200.3.4", 1, true),
            ("10.0.0.0/8", "11.0.0.0", 1, false),
            ("0.0.0.0/0", "11.0.0.0", 1, true),
            ("10.0.0.0/33", "10.0.0.0", 1, false),
            ("10.0.0.0/8", "fe80::1", 1, false),
            ("fe80::/10", "febf::1", 1, true),
            ("fe80::/10", "fec0::1", 1, false),
            ("10.0.0.0/8", "host.example", 1, false),
        ] {
            assert_eq!(is_bypassed(host, port, list), expected, "{host}:{port} in {list}");
        }
    }
}
