# Reads a Java source and prints the name of its public class, a space, the full name of the first
# class that has `static … void main(`, a space, and that of the first class that has `void main(`
# at all, or `.` if it is in no class. Each is empty if there is none.

# The text without comments and with empty strings; `in_comment` lasts over lines, and so does
# `in_block`, a text block.
function code(line,    out, rest, at) {
    out = ""
    while (line != "") {
        if (in_comment) {
            at = index(line, "*/")
            if (!at) return out
            line = substr(line, at + 2)
            in_comment = 0
        } else if (in_block) {
            at = index(line, "\"\"\"")
            if (!at) return out
            line = substr(line, at + 3)
            in_block = 0
        } else if (match(line, /\/\/|\/\*|"|'/)) {
            out = out substr(line, 1, RSTART - 1)
            rest = substr(line, RSTART)
            if (rest ~ /^\/\//) return out
            if (rest ~ /^\/\*/) {
                in_comment = 1
                line = " " substr(rest, 3)
            } else if (rest ~ /^"""/) {
                in_block = 1
                line = substr(rest, 4)
            } else if (match(rest, /^"([^"\\]|\\.)*"/) || match(rest, /^'([^'\\]|\\.)*'/)) {
                out = out " "
                line = substr(rest, RLENGTH + 1)
            } else return out
        } else return out line
    }
    return out
}

function begin_statement() {
    statement = " "
    is_named = 0
}

BEGIN { begin_statement() }

{
    # A source may have been saved on Windows.
    sub(/\r$/, "")
    text = code($0)
    gsub(/[{}();@]/, " & ", text)
    words = split(text, word)
    for (at = 1; at <= words; at++) {
        now = word[at]
        if (now == ";" && depth == 0 && statement ~ /^ package /) package = last "."
        if (now == "{" || now == "}" || now == ";") {
            depth += (now == "{") - (now == "}")
            begin_statement()
            continue
        }
        if (depth == 0 && !is_named && last ~ /^(class|interface|enum|record)$/) {
            is_named = 1
            type = now
            sub(/<.*/, "", type)
            if (statement ~ / public /) public = type
        }
        if (depth == 1 && now == "(" && last == "main" && statement ~ / static / && statement ~ / void / && main == "")
            main = package type
        if (depth < 2 && now == "(" && last == "main" && statement ~ / void / && statement !~ / private / && other == "")
            other = depth == 0 ? "." : package type
        last = now
        statement = statement now " "
    }
}

END { print public " " main " " other }
