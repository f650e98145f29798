//go:build !js

package main

import "os"

func main() {
	_, _ = os.Stderr.WriteString("This program runs in browsers: GOOS=js GOARCH=wasm go build\n")
	os.Exit(2)
}
