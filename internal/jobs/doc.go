// Package jobs runs work that must not be lost and must not be done twice: a job
// is written in the transaction that makes it necessary, and is run until it is
// done, by this process or by the one that comes after it.
//
// A worker holds a job by a lease. A worker that dies loses the lease, and
// another begins the job again: a handler looks at what is there already. What a
// handler changes in the database and the end of its job belong into one
// transaction (Job.Done), so that neither is there without the other.
package jobs
