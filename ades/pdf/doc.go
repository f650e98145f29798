// Package pdf reads PDF files lazily through an io.ReaderAt and extends them
// byte for byte by incremental updates.
//
// The reader never repairs: what it cannot read as the standard says, or read
// so that appending is safe, it refuses with a typed error. It loads only the
// objects it is asked for, within the budgets of Limits, and does not panic on
// any input. The writer appends: the original file is always an exact prefix of
// the result, only objects that were set are written, and the new
// cross-reference section has the form of the last one.
//
// The package knows signatures as structure only (dictionaries, byte ranges,
// revisions); what is inside /Contents is for ades/cms.
package pdf
