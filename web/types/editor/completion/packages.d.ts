/** The packages that programs can import, as `GET /runtimes` lists them. */
import type { Server } from "../../client/server.js";
/** The packages of a runtime; none if the server does not answer, or has not listed them yet. */
export declare function packagesOf(server: Server, runtime: string): Promise<string[]>;
