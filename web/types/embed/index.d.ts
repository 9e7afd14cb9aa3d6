/**
 * The page `/embed`, which other pages show in a frame: one program that can be run. Its address
 * has the options and the program. The page is sandboxed, so it keeps nothing and knows nobody.
 */
import "./embed.css";
