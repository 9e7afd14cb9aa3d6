//! The lines about images that an import or a removal has removed.

use std::io;

use livecode_image::Removal;

/// Prints which images were removed, and which are to be removed later.
pub(super) fn describe_removal(removal: &Removal, out: &mut impl io::Write) -> io::Result<()> {
    for digest in &removal.removed {
        writeln!(out, "removed the image {digest}")?;
    }
    for digest in &removal.used {
        writeln!(
            out,
            "the image {digest} is in use, and stays; `livecode runtimes reload`, and then `livecode \
             runtimes remove` without a name, removes it once no program uses it"
        )?;
    }
    Ok(())
}
