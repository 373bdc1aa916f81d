// Package reconcile makes a host what a spec says.
//
// It looks at the host ([Observe]), says what the spec implies for it ([Want]), takes the difference as a list of
// steps ([NewPlan]), does the steps, verifies that the host then serves, and undoes them where it does not
// ([Reconciler]). The host itself is behind two interfaces, [Observer] and [Host].
package reconcile
