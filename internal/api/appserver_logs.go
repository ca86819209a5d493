package api

// AppLogs are what is kept of the log of an app, and of that of nginx in front of it.
type AppLogs struct {
	// Rate is how many lines a second each may write, counted over half a minute; more
	// are dropped, and the status says how many.
	Rate int `json:"rate"`
	// Retention is how long a line is kept.
	Retention Duration `json:"retention"`
	// MaxBytes is how much disk each log may take; the oldest lines make room.
	MaxBytes int64 `json:"max_bytes"`
}

func (l AppLogs) validate(v *Violations, at Pointer) {
	within(v, at.At("rate"), int64(l.Rate), LogRateBounds(), "lines a second")
	between(v, at.At("retention"), l.Retention, LogRetentionBounds())
	bytesWithin(v, at.At("max_bytes"), l.MaxBytes, LogSizeBounds())
}
