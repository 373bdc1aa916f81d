// Package reconcile brings a host in line with a spec.
//
// It looks at the host (plan.Observe), derives the desired state from the spec (plan.Want), and plans the difference as
// a list of steps (plan.NewPlan). It does the steps, verifies that the host then serves, and undoes the steps if it does
// not ([Reconciler]). The host itself is behind two interfaces, host.Observer and host.Host.
package reconcile
