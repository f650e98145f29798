// Command ci runs the suites that make names and keeps their records: what ran,
// what came of it, and for which state of the source it holds. From the records
// it answers which features and controls are proven.
package main
