//! scratch
fn main() -> anyhow::Result<()> {
    let a: Vec<String> = std::env::args().collect();
    let rt = host_tests::runtime::Runtime::new(&std::fs::read(&a[1])?)?;
    let args: Vec<&str> = a[2..].iter().map(|s| s.as_str()).collect();
    let p = host_tests::runtime::Permissions { addresses: vec![a[2].parse()?, "127.0.0.1:1".parse()?], name_lookup: true };
    println!("{:?}", rt.run_inherit(&args, &p)?);
    Ok(())
}
