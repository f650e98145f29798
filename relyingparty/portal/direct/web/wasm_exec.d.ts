// Go's own support file, which the bundler takes from the Go installation.
declare module "wasm_exec" {}

declare class Go {
  importObject: WebAssembly.Imports;
  run(instance: WebAssembly.Instance): Promise<void>;
}
