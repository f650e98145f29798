// Package demo runs a whole installation on one machine: four processes, four
// databases, four origins on loopback ports, with everything they need made at
// the first start and kept in one folder. All processes run as one user: it
// shows the protocol, not the separation by the operating system.
package demo
