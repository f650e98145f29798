// Package room is the pages of people who were asked to sign. They need no account:
// the link of their invitation and a code that came another way open the documents,
// which they read, sign or reject, and in the end download. Nothing of the
// documents, not even how many there are, is shown before the code.
package room
