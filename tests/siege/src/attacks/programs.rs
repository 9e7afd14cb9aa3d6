//! Attacks by programs.

use std::sync::Arc;

use serde_json::json;

use crate::attacker::{Attacker, repeat};

/// Runs a session of this Python program, for at most `wall_ms` with a quarter of a core.
async fn keep_running(attacker: Arc<Attacker>, code: &str, wall_ms: u64) -> anyhow::Result<()> {
    let caller = attacker.caller(0);
    let limits = json!({"cpu_millicores": 250, "cpu_ms": 60_000, "output_bytes": 1_u64 << 30});
    let request = json!({"runtime": "python", "code": code, "timeout": wall_ms, "limits": limits});
    let id = caller.create(&request).await?;
    attacker.count("created");
    let document = caller.wait_for_end(&id).await?;
    attacker.count(document["outcome"].as_str().unwrap_or("without outcome"));
    Ok(())
}

/// Writes newlines on the message channel: lines that are no messages and cost the program
/// nothing.
pub async fn write_newlines(attacker: Arc<Attacker>) {
    const CODE: &str = "\
import os
fd = int(os.environ['LIVECODE_FD'])
lines = b'\\n' * 65536
while True: os.write(fd, lines)
";
    repeat(attacker, 2, |attacker, _| keep_running(attacker, CODE, 3000)).await;
}

/// Prints without end, and keeps little of it: each session ends soon.
pub async fn flood_output(attacker: Arc<Attacker>) {
    const CODE: &str = "import os\nline = b'x' * 79 + b'\\n'\nfor _ in range(100000): os.write(1, line)";
    repeat(attacker, 2, |attacker, _| keep_running(attacker, CODE, 3000)).await;
}

/// Prints until the disk is full.
pub async fn fill_disk(attacker: Arc<Attacker>) {
    const CODE: &str = "import os\nblock = b'x' * 65536\nwhile True: os.write(1, block)";
    repeat(attacker, 2, |attacker, _| keep_running(attacker, CODE, 4000)).await;
}

/// Holds memory, each session within its limit.
pub async fn hold_memory(attacker: Arc<Attacker>) {
    const CODE: &str = "import time\nheld = b'x' * (240 << 20)\ntime.sleep(1)";
    repeat(attacker, 32, |attacker, _| keep_running(attacker, CODE, 4000)).await;
}
