/** The packages that programs can import, as `GET /runtimes` lists them. */

import type { Server } from "../../client/server.js";

interface RuntimeDocument {
  name: string;
  packages?: string[];
}

/** The runtimes of each server, by its address. They are asked for once, when they are needed. */
const requests = new Map<string, Promise<RuntimeDocument[]>>();

async function request(server: Server): Promise<RuntimeDocument[]> {
  const response = await server.get("/runtimes");
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return (await response.json()) as RuntimeDocument[];
}

/** The packages of a runtime; none if the server does not answer, or has not listed them yet. */
export async function packagesOf(server: Server, runtime: string): Promise<string[]> {
  const known = requests.get(server.base) ?? request(server);
  requests.set(server.base, known);
  try {
    const name = runtime.replace(/@.*$/, "");
    return (await known).find((one) => one.name === name)?.packages ?? [];
  } catch {
    // The next name that is typed asks again.
    requests.delete(server.base);
    return [];
  }
}
