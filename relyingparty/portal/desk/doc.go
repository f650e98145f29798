// Package desk is the pages of people who ask for signatures: they log in with
// password and code, put documents into a request, name who signs in which order,
// send it, and follow what becomes of it. All of it works without a script.
package desk
