import { greet } from "./greeting";

greet("module");
