package lab

import (
	"context"
	"fmt"
	"time"
)

// Until waits for a condition, which it checks every 10 ms. It fails if ctx ends or the condition is not true in time.
func Until(ctx context.Context, within time.Duration, condition func() bool) error {
	for end := time.Now().Add(within); !condition(); {
		if time.Now().After(end) {
			return fmt.Errorf("cannot see it within %s", within)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
