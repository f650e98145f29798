// Package request is a request for signatures from its draft to its sealed end:
// documents, signers in their order, what happened, and the rules of what may
// happen next.
//
// Pages and interfaces call Service; everything that takes time or may fail runs
// as a job (internal/jobs), so that a restart at any moment loses nothing and
// repeats nothing. Whatever changes a request is decided by one UPDATE in the
// transaction that also writes its event: two tabs, a double click and a repeated
// job do it once.
//
// A signer has a link (unguessable, only its hash is stored) and, where the sender
// asked for a second factor, gets a one-time code by another channel; only with
// both is anything of the documents shown. The next signer is invited after the
// signatures before were verified in the stored file. At the end files and log are
// sealed.
package request
