//! scratch
use host_tests::{components, runtime::*};
fn main() -> anyhow::Result<()> {
    let a: Vec<String> = std::env::args().collect();
    let plug = components::load("mqtt.wasm")?;
    let bytes = components::compose(&components::load(&a[1])?, &plug)?;
    let rt = Runtime::new(&bytes)?;
    let p = Permissions { addresses: vec![a[2].parse()?, "127.0.0.1:1".parse()?], name_lookup: true };
    let url = format!("mqtt://{}", a[2]);
    let mut args = vec![url.as_str()];
    args.extend(a[3..].iter().map(|s| s.as_str()));
    println!("{:?}", rt.run_inherit(&args, &p)?);
    Ok(())
}
