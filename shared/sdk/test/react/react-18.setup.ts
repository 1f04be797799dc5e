// `react-dom` 18 stands here under another name and asks for `react`, which is 19: it is given 18.
import Module from "node:module";

interface Resolver {
  _resolveFilename(request: string, ...more: unknown[]): string;
}

const resolver = Module as unknown as Resolver;
const resolve = resolver._resolveFilename;
resolver._resolveFilename = (request, ...more) => resolve(request.replace(/^(react|react-dom)(?=\/|$)/, "$1-18"), ...more);
