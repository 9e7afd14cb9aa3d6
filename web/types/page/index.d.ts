/** The server's front page: an editor with a choice of runtimes, programs, links and sessions. */
import "./page.css";
