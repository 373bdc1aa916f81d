package failover

import (
	"testing"

	"rlb.dev/rlb-agent/hack/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
