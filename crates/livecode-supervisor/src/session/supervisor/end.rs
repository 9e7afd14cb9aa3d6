//! The end of a supervisor's session, and of a session that has not begun.

use livecode_protocol::session::Outcome;

use crate::{
    diagnostics::Diagnostics,
    session::{
        connection::{await_greetings, await_release, send_final_notice},
        folder::StartError,
        supervisor::Supervisor,
    },
};

/// How a supervisor has dealt with its session.
pub(crate) enum SupervisedEnd {
    /// The session has ended, its server knows that, and the process may serve another session.
    Released,
    /// The process is to exit with this status.
    Exit(i32),
}

impl Supervisor<'_> {
    /// Ends the session: reaps the sandbox, writes the closing entry, tells the servers, and
    /// removes what is left of the sandbox. A session whose program has not begun is left as it
    /// was before, so that another supervisor can start it.
    pub fn finish(mut self) -> SupervisedEnd {
        if !self.is_over() {
            self.sandbox.reap();
        }
        let entries = self.outputs.drain_all();
        self.append(entries);
        let diagnostics = self.diagnostics.as_mut().map(Diagnostics::finish).unwrap_or_default();
        self.append_messages(diagnostics);
        // Init has died before it had sent all result files.
        self.result_files.finish(&self.folder, false);
        // The end of each case is known already.
        if !self.result_files.has_started() && self.cases.is_none() {
            self.termination.is_out_of_memory = self.sandbox.has_oom_kills();
        }
        self.termination.output_cost_ms = self.output_cost.charged_ms();
        if self.is_to_be_started_again() {
            return self.abandon();
        }
        if self.started_us.is_none() {
            self.folder.remove_contents();
        }
        let result = self.compile_cache.result;
        let started_us = self.started_us.unwrap_or(0);
        let output_bytes = self.journal.used_bytes();
        let limit = self.limit_of_end();
        let sandbox = Some(&self.sandbox);
        let mut closing_entry =
            self.termination.closing_entry(sandbox, started_us, output_bytes, result.compiled, limit);
        if let Some(usage) = &mut closing_entry.usage {
            usage.collected_bytes = self.result_files.collected_bytes;
            if let Some(cases) = &self.cases {
                cases.fill_usage(usage);
            }
        }
        closing_entry.compile = self.compile_stage.summary(&closing_entry);
        self.folder.remove_socket();
        let finished = self.journal.finish(&closing_entry, result);
        await_greetings(&mut self.connections, || self.host.unenforced(), self.start_kind);
        if let Ok((progress, _)) = &finished {
            send_final_notice(&mut self.connections, progress);
        }
        // The connections are closed last: their end tells the servers that nothing of the
        // sandbox, nor its cgroups, is left.
        drop(self.sandbox);
        let is_released = await_release(&mut self.connections);
        drop(self.connections);
        match finished {
            Ok((_, syncer)) => {
                syncer.finish();
                if is_released { SupervisedEnd::Released } else { SupervisedEnd::Exit(0) }
            }
            Err(error) => {
                eprintln!("livecode supervisor: {error}");
                SupervisedEnd::Exit(1)
            }
        }
    }

    /// Whether nothing of the program has run, and neither a client nor a limit has ended the
    /// session. All that happened then is that the sandbox could not be set up, or has died.
    pub(super) fn is_to_be_started_again(&self) -> bool {
        let has_begun = self.started_us.is_some() || !self.journal.is_empty();
        !has_begun && self.termination.outcome().0 == Outcome::Lost
    }

    /// Leaves the session to another supervisor. The server is told last, when the journal, the
    /// sandbox and the lock of the folder are gone.
    fn abandon(mut self) -> SupervisedEnd {
        let error = self.start_error.take().unwrap_or(StartError::InitDied);
        let mut connections = std::mem::take(&mut self.connections);
        self.discard();
        send_final_notice(&mut connections, &error.notice());
        SupervisedEnd::Exit(1)
    }

    /// Removes the journal and the sandbox of a session whose program has not begun.
    pub fn discard(self) {
        self.folder.remove_socket();
        drop(self.sandbox);
        self.folder.discard_journal(self.journal);
    }
}
