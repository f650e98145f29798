// Package e2e tests the running system: the programs as they are built, four
// processes with four databases, and everything between them that can go wrong or
// be turned against it. It has no code of its own.
package e2e
