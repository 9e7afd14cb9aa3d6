use std::io::{self, BufRead, Write};
use std::process::{Command, exit};
use std::thread;
use std::time::Duration;

fn fail(luck: Option<u32>) -> u32 {
    luck.expect("no such luck") // HERE
}

fn main() {
    match std::env::args().nth(1).unwrap_or_default().as_str() {
        "hello" => println!("Hello, World!"),
        "stderr" => eprintln!("oops"),
        "exit" => exit(3),
        "echo" => {
            io::copy(&mut io::stdin(), &mut io::stdout()).unwrap();
        }
        "error" => println!("{}", fail(None)),
        "process" => {
            Command::new("echo").arg("process").status().unwrap();
        }
        "threads" => {
            let threads: Vec<_> = (1..5).map(|n| thread::spawn(move || n)).collect();
            println!("{}", threads.into_iter().map(|thread| thread.join().unwrap()).sum::<i32>());
        }
        "lines" => (1..=100_000).for_each(|n| println!("{n}")),
        "live" => {
            println!("live");
            thread::sleep(Duration::from_secs(60));
        }
        "prompt" => {
            print!("name? ");
            // Rust's own buffer needs this on a terminal, too.
            io::stdout().flush().unwrap();
            let mut name = String::new();
            io::stdin().lock().read_line(&mut name).unwrap();
            print!("hello {name}");
        }
        _ => {}
    }
}
