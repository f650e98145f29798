// Package samtest is a signature activation module for tests: a real one, over a
// real database and software keystore, with a registration authority, a CA with
// OCSP, a clock that the test sets, and devices.
package samtest
