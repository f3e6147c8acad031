//! The report of a run: `docs/performance.md` and the charts beside it. Every figure in it is made of the results.

mod beside;
mod board;
mod budgets;
mod charts;
mod curves;
mod elements;
mod figures;
mod jobs;
mod losses;
mod markdown;
mod numbers;
mod scale;
mod tables;
mod tls;
mod wasm;
mod websocket;

use std::fs;
use std::io;
use std::path::Path;

use board::Board;
use charts::Chart;
use markdown::{bold, item, one_line, paragraph, slug};
use numbers::{count, figure, mebibytes, percent};

use crate::elements::Elements;
use crate::gates;
use crate::results::{CodecResult, Curve, JobResult, Machine, Prices, Results};
use crate::scale::Scale;

const FILE: &str = "performance.md";

/// Writes `performance.md` and its charts into `folder`, where the charts of an earlier run go.
pub(crate) fn write(results: &Results, folder: &Path) -> io::Result<()> {
    let boards: Vec<Board<'_>> = results.jobs.iter().map(Board::of).collect();
    let bars = charts::of_jobs(&boards)?;
    let curves = charts::of_curves(&results.curves)?;
    remove_charts(&folder.join(charts::FOLDER))?;
    for Chart { file, svg, .. } in bars.iter().chain(&curves) {
        fs::write(folder.join(file), svg)?;
    }
    fs::write(folder.join(FILE), text(results, &boards, &bars))
}

/// Leaves the folder there, without a chart.
fn remove_charts(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Shows on the terminal what codecs took.
pub(crate) fn print_codecs(results: &[CodecResult]) {
    println!("\n{:<40} {:<28} {:>9} {:>7} {:>9}", "packet", "codec", "ns/op", "spread", "allocs/op");
    for CodecResult { codec, job, ns, spread, allocations } in results {
        println!("{job:<40} {codec:<28} {ns:>9.1} {:>6.1}% {allocations:>9.4}", spread * 100.0);
    }
}

/// Shows on the terminal how cost grows.
pub(crate) fn print_curves(results: &[Curve]) {
    for curve in results {
        let exponent = curves::exponent(&curves::drawable(curve));
        let exponent = exponent.map_or(String::new(), |exponent| format!(", exponent {exponent:.2}"));
        println!("\n{}{exponent}\n{:>24} {:>24}", curve.name, curve.x, curve.y);
        for (x, y) in &curve.points {
            println!("{:>24} {:>24}", count(*x), figure(*y));
        }
    }
}

/// Prints what messages cost between components, with what it ran on, in Markdown.
pub(crate) fn print_elements(elements: &Elements, machine: &Machine) {
    let Machine { date, processor, cores, .. } = machine;
    print!("{}", paragraph(&format!("wasmtime {}, {date}, {processor}, {cores} cores.", elements.wasmtime)));
    print!("{}", elements::text(elements));
}

/// Prints what one process can carry, with what it ran on, in Markdown.
pub(crate) fn print_scale(scale: &Scale, machine: &Machine) {
    let Machine { date, processor, cores, system, .. } = machine;
    print!("{}", paragraph(&format!("{date}, {processor}, {cores} cores, {system}.")));
    print!("{}", scale::text(scale));
}

/// Prints what WebSocket costs beside TCP, with what it ran on, in Markdown.
pub(crate) fn print_websocket(jobs: &[JobResult], machine: &Machine) {
    let Machine { date, processor, cores, noise, .. } = machine;
    let noise = percent(*noise);
    print!(
        "{}",
        paragraph(&format!(
            "{date}, {processor}, {cores} cores. The same calibration took times over the run that lie {noise} apart."
        ))
    );
    print!("{}", websocket::text(&jobs.iter().map(Board::of).collect::<Vec<_>>()));
}

/// Prints how this revision compares with an earlier one, in Markdown, if one was measured.
pub(crate) fn print_beside(jobs: &[JobResult]) {
    let text = beside::text(&jobs.iter().map(Board::of).collect::<Vec<_>>());
    if !text.is_empty() {
        print!("\n{text}");
    }
}

/// What calls of the system take, in a sentence.
pub(crate) fn prices(Prices { write_ns, clock_ns }: &Prices) -> String {
    format!(
        "On this machine, one `write` of a byte to a TCP connection over loopback takes {} ns, and reading the clock \
         {} ns.",
        figure(*write_ns),
        figure(*clock_ns)
    )
}

fn text(results: &Results, boards: &[Board<'_>], bars: &[Chart]) -> String {
    let sink = boards.iter().filter(|board| board.is_against_sink());
    let brokers = boards.iter().filter(|board| board.is_against_broker());
    let sections = [
        ("Budgets", budgets::text(results, boards)),
        ("Beside an earlier revision", beside::text(boards)),
        ("What we lose", losses::text(results, boards)),
        ("How it is measured", method(results)),
        ("At a glance", charts::text(bars)),
        ("Jobs against the sink", against_sink(results, sink)),
        ("In WebAssembly", wasm::text(boards, &results.start_times)),
        ("TLS", tls::text(boards)),
        ("WebSocket", websocket::text(boards)),
        ("Jobs against mosquitto", jobs::text(brokers)),
        ("Requests and replies", tables::latency(&results.latency)),
        ("Codecs", tables::codecs(&results.codecs)),
        ("Without a network", tables::engine(&results.engine)),
        ("How cost grows", curves::text(&results.curves)),
        ("Scale of one process", results.scale.as_ref().map_or_else(String::new, scale::text)),
        ("Instructions", tables::instructions(&results.instructions)),
        ("Sizes", tables::sizes(&results.sizes)),
    ];
    let sections: Vec<_> = sections.into_iter().filter(|(_, body)| !body.is_empty()).collect();
    let contents: String = sections.iter().map(|(title, _)| format!("- [{title}](#{})\n", slug(title))).collect();
    let bodies: String = sections.iter().map(|(title, body)| format!("## {title}\n\n{body}")).collect();
    let all = head(results) + &contents + "\n" + &bodies;
    all.trim_end().to_owned() + "\n"
}

/// With what calls of the system take in front, which nobody is below who sends or looks at deadlines by himself.
fn against_sink<'b, 'a: 'b>(results: &Results, boards: impl Iterator<Item = &'b Board<'a>>) -> String {
    let jobs = jobs::text(boards);
    match &results.prices {
        Some(found) if !jobs.is_empty() => {
            let rule = "What takes less than a `write` for each message sends several at once.";
            paragraph(&format!("{} {rule}", prices(found))) + &jobs
        }
        _ => jobs,
    }
}

fn head(results: &Results) -> String {
    let mut head = String::from("# Performance\n\n");
    head += &paragraph(
        "What this client costs beside its peers, and beside version 0.2.0: natively and in WebAssembly, in time and in \
         counts, which a busy machine does not change. The first of these commands measured every figure below and \
         wrote this file from them. [profile.md](profile.md) shows where the time goes.",
    );
    head += "```sh\ncargo xtask bench --json FILE    # measures everything, and writes this file\n";
    head += "cargo xtask bench --against 6f1da06 --json FILE  # the same, beside an earlier revision of this client\n";
    head += "cargo xtask bench --report FILE  # writes this file again from FILE\n```\n\n";
    head += &machine(&results.machine);
    if results.is_quick {
        head += &paragraph(&format!("{}: these figures are rough.", bold("This was a run with `--quick`")));
    }
    if results.machine.is_noisy() {
        head += &paragraph(&format!("{}: {}.", bold("The machine was noisy"), results.machine.warning()));
    }
    head
}

fn machine(machine: &Machine) -> String {
    let Machine { date, processor, cores, memory, system, rustc, mosquitto, noise } = machine;
    let mosquitto = mosquitto.as_ref().map_or("no mosquitto".into(), |version| one_line(version));
    let memory = mebibytes(*memory as f64);
    paragraph(&format!(
        "It ran on {date}: {processor}, {cores} cores, {memory} of memory; {system}; {rustc}; {mosquitto}. The same \
         calibration took times over the run that lie {} apart.",
        percent(*noise)
    ))
}

fn method(results: &Results) -> String {
    let samples = results.jobs.iter().flat_map(|job| &job.contenders).map(|contender| contender.samples.len());
    let samples = samples.filter(|count| *count > 0);
    let (least, most) = (samples.clone().min().unwrap_or(0), samples.max().unwrap_or(0));
    let rounds = if least == most { format!("{most}") } else { format!("{least} to {most}") };
    let list = [
        "**A process each.** A measurement is a child process with one contender and one job. Where they are \
         not the job, connecting, subscribing and a warm-up come before the clock starts."
            .to_owned(),
        "**A sink.** In the same process, in separate threads, a peer takes every message, acknowledges it, and sends \
         messages as fast as they are taken. So the client and the way to the peer are measured, and not the speed of \
         a broker."
            .to_owned(),
        format!(
            "**Rounds in turns.** There are {rounds} rounds, in which all contenders take turns, one time from the \
             first to the last and the next time the other way, so that what slows the machine down slows them all \
             down. A figure is the median of its rounds, with two digits; what is \
             counted is exact. How many times as much something takes as something else is the median of the rounds' \
             ratios, not the ratio of two medians. The *spread* is how far apart the middle half of these ratios lies, as a share \
             of their median: differences within it are none. That of the first contender is that of its own rounds. \
             The small messages that the README tells of have 5 rounds at least, and rows whose spread is too large \
             continue, up to 11 rounds. So does what is compared with an earlier revision."
        ),
        format!(
            "**Gates.** They stood before the run. {} An invalid row is shown with its figure and the gate that it \
             broke, and proves nothing: it neither keeps nor breaks a budget, and no loss is sure by it.",
            gates::declared()
        ),
        "**An earlier revision.** With `--against`, the benchmark of that revision is built beside this one, and its \
         program measures the same jobs with the components of that revision, in the same rounds, next to today's \
         contender. 6f1da06 of 2026-11-25 is the earliest that can be: before it there is no TLS in the \
         benchmark, and no job that resumes a session."
            .to_owned(),
        "**Settings.** Every contender does the job as its own documentation shows, with its default settings except \
         those that the head of its file in `bench/src/contenders` names. What it cannot do is shown as such."
            .to_owned(),
    ];
    let columns = [
        "*messages/s*: by the time from the first call until the sink has the last message, or the contender the last \
         message or acknowledgement.",
        "*CPU ns/message*: processor time of all threads but the sink's, the system's part included. *Sink's CPU ns* \
         is what the sink took itself.",
        "*time ×* and *CPU ×*: how many times what the first contender of the table takes; less than 1 is better. \
         The *spread* behind each is its own.",
        "*allocations* and *bytes allocated*: requests to Rust's allocator, reallocations included, without the \
         sink's. Those of a guest in its own memory, and of a library in C, are not seen.",
        "*system calls*: counted by strace in separate runs, without the sink's, for messages of 64 B.",
        "*wake-ups*: how often a thread other than the sink's gave up the processor by itself.",
        "*bytes sent* and *received*: on the wire, by the contender.",
        "*peak memory*: the most that the whole process ever had in use, the sink included.",
        "**Bold** is where somebody else is better than the best of ours of the same kind: native, or a guest in \
         WebAssembly.",
    ];
    let list: String = list.iter().map(|text| item(text)).collect();
    let columns: String = columns.iter().map(|text| item(text)).collect();
    format!("{list}\nWhat the columns mean, medians of an operation each:\n\n{columns}\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::board::tests::{contender, job, sample};
    use super::*;
    use crate::results::{LatencyTable, Size};

    fn results() -> Results {
        let contenders = || {
            vec![
                contender("mqtt-wasi, blocking", vec![sample(100, 90), sample(120, 95)]),
                contender("rumqttc 0.25", vec![sample(900, 950), sample(910, 960)]),
            ]
        };
        Results {
            machine: Machine {
                date: "2026-11-25".into(),
                processor: "a processor".into(),
                cores: 2,
                memory: 8 << 30,
                system: "Linux 6".into(),
                rustc: "rustc 1".into(),
                mosquitto: None,
                noise: 0.4,
            },
            prices: Some(Prices { write_ns: 4_321.0, clock_ns: 27.4 }),
            before: None,
            is_quick: false,
            jobs: vec![
                job("publish-0-64-pipelined", contenders()),
                job("connect", contenders()),
                JobResult { against: "mosquitto".into(), ..job("mixed-64", contenders()) },
            ],
            latency: vec![LatencyTable { broker: "mosquitto".into(), rows: Vec::new() }],
            codecs: Vec::new(),
            engine: Vec::new(),
            curves: vec![Curve {
                name: "publish, by size".into(),
                x: "bytes".into(),
                y: "ns a message".into(),
                points: vec![(16.0, 80.0), (1_048_576.0, 90_000.0)],
            }],
            instructions: BTreeMap::from([("publish-0".into(), 606)]),
            start_times: Vec::new(),
            sizes: vec![Size { name: "mqtt.wasm".into(), bytes: 331_534, budget: Some(285_000) }],
            scale: None,
        }
    }

    /// Text and charts by their names.
    fn written() -> BTreeMap<String, String> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("mqtt-wasi-report-{}-{number}", std::process::id()));
        fs::create_dir_all(folder.join(charts::FOLDER)).unwrap();
        fs::write(folder.join("performance/old.svg"), "").unwrap();
        write(&results(), &folder).unwrap();
        let mut files = BTreeMap::from([(FILE.into(), fs::read_to_string(folder.join(FILE)).unwrap())]);
        for file in fs::read_dir(folder.join(charts::FOLDER)).unwrap() {
            let path = file.unwrap().path();
            let name = format!("{}/{}", charts::FOLDER, path.file_name().unwrap().display());
            files.insert(name, fs::read_to_string(path).unwrap());
        }
        fs::remove_dir_all(folder).unwrap();
        files
    }

    #[test]
    fn report_shows_each_chart_there_is_and_no_other() {
        let files = written();
        let charts: Vec<_> = files.keys().filter(|name| name.ends_with(".svg")).collect();
        assert_eq!(
            charts,
            ["performance/growth-publish-by-size.svg", "performance/publish-0-cpu.svg", "performance/publish-0.svg"]
        );
        assert!(charts.iter().all(|chart| files[FILE].contains(&format!("]({chart})"))));
        assert_eq!(files[FILE].matches(".svg)").count(), charts.len());
    }

    #[test]
    fn same_results_make_the_same_report() {
        assert_eq!(written(), written());
    }

    #[test]
    fn contents_are_the_sections_there_are() {
        let files = written();
        let text = &files[FILE];
        let contents: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("- [")?.split(']').next()).collect();
        let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(contents, sections);
        assert!(!sections.contains(&"Codecs"));
    }

    #[test]
    fn report_says_what_calls_cost_and_which_gates_there_were() {
        let text = one_line(&written()[FILE]);
        assert!(text.contains("over loopback takes 4,300 ns, and reading the clock 27 ns."));
        assert!(text.contains(&gates::declared()));
        assert!(!text.contains("## Beside an earlier revision"));
    }

    #[test]
    fn noisy_machine_is_warned_of() {
        assert!(written()[FILE].contains("**The machine was noisy**"));
    }
}
