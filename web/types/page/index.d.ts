/** The server's front page: an editor with a choice of runtimes, examples, links and sessions. */
import "./page.css";
