package export

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// exposeProcess writes the usual metrics of a process. The text file omits them: node_exporter has metrics of the
// same names.
func exposeProcess(e *exposition) {
	fields := strings.Fields(afterName(readAll("/proc/self/stat"))) // proc_pid_stat(5), from field 3 on
	const ticks = 100                                               // a second: USER_HZ is 100 on every Linux
	if len(fields) < 24-2 {
		return
	}
	value := func(field int) float64 {
		n, _ := strconv.ParseFloat(fields[field-3], 64) // the kernel writes digits only
		return n
	}
	e.family("process_cpu_seconds_total", counter, "Total user and system CPU time spent in seconds.").add((value(14) + value(15)) / ticks)
	e.family("process_resident_memory_bytes", gauge, "Resident memory size in bytes.").add(value(24) * float64(os.Getpagesize()))
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		e.family("process_open_fds", gauge, "Number of open file descriptors.").add(float64(len(open) - 1)) // one is the directory's
	}
	e.family("process_start_time_seconds", gauge, "Start time of the process since unix epoch in seconds.").add(seconds(startTime))
}

// startTime is when this process started.
var startTime = time.Now()

func afterName(stat string) string { return stat[strings.LastIndex(stat, ")")+1:] }

func readAll(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}
