// Package wake wakes goroutines that wait at a channel of one place.
package wake

// Up wakes the goroutine that waits at a bell. It never waits. Several calls before the goroutine wakes count as one.
func Up(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
