// Package wake wakes a goroutine that waits on a channel with a buffer of one.
package wake

// Up wakes the goroutine that receives from bell. Up never blocks. Several calls before the goroutine wakes count as one.
func Up(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
