/** The server's front page: a language, an editor, examples, links to share, and the way back into one's sessions. */
import "./page.css";
