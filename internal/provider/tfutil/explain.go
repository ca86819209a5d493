package tfutil

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

// LogSubsystem is the part of the provider's log that tells what agents do;
// TF_LOG_PROVIDER_FOOBAR_AGENT sets its level.
const LogSubsystem = "agent"

// Error and Warning show what others wrote, such as an engine's message, so
// that a terminal does not obey it; their own line breaks stay.

// Error adds an error at an attribute, or at the whole resource where at is empty.
func Error(diags *diag.Diagnostics, at path.Path, summary, format string, args ...any) {
	add(diags, diag.NewErrorDiagnostic(api.Visible(summary), api.VisibleLines(fmt.Sprintf(format, args...))), at)
}

// Warning adds a warning as [Error] adds an error.
func Warning(diags *diag.Diagnostics, at path.Path, summary, format string, args ...any) {
	add(diags, diag.NewWarningDiagnostic(api.Visible(summary), api.VisibleLines(fmt.Sprintf(format, args...))), at)
}

func add(diags *diag.Diagnostics, d diag.Diagnostic, at path.Path) {
	if len(at.Steps()) > 0 {
		d = diag.WithPath(at, d)
	}
	diags.Append(d)
}

// Explain adds an error for err. A problem becomes one error at each
// attribute that it points at. The first of them goes on with what the problem
// says of the whole and with the engine's or the app's last lines. Any other
// error becomes one without a place.
func Explain(err error, paths Paths, diags *diag.Diagnostics) {
	problem, ok := errors.AsType[*api.Problem](err)
	if watched, goesOn := errors.AsType[*client.GoesOnError](err); goesOn && errors.Is(err, context.Canceled) {
		Error(diags, path.Empty(), interrupted, "The agent goes on with the %s of %s on machine %s. Plan again to see how it ended.", watched.Verb, watched.ID, watched.Machine)
		return
	}
	if !ok {
		Error(diags, path.Empty(), failed(err), "%s", Sentence(err))
		return
	}
	if len(problem.Violations) == 0 {
		Error(diags, path.Empty(), problem.Title, "%s", withLog(problem, api.Capital(problem.Detail)))
		return
	}
	for i, v := range problem.Violations {
		detail := sentence(v.Detail)
		at := paths.Path(v.Pointer)
		switch {
		case len(at.Steps()) > 0:
		case v.Pointer == "":
			detail = api.Capital(detail)
		default:
			detail = fmt.Sprintf("%s: %s", v.Pointer, detail) // nothing in the model has this place
		}
		if i == 0 {
			detail = withLog(problem, joined(detail, api.Capital(problem.Detail)))
		}
		Error(diags, at, problem.Title, "%s", detail)
	}
}

// interrupted is the title of what ends with Terraform.
const interrupted = "Interrupted"

// failed names the class of an error that no machine answered.
func failed(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return "The time ran out"
	}
	return "The call of the agent failed"
}

// withLog returns a detail followed by the problem's log lines, which the
// agent has redacted.
func withLog(problem *api.Problem, detail string) string {
	detail = sentence(detail)
	if len(problem.Log) == 0 {
		return detail
	}
	var lines strings.Builder
	for _, line := range problem.Log {
		lines.WriteString("\n  " + api.Visible(line))
	}
	return joined(detail, "The last lines of its log:"+lines.String())
}

func joined(parts ...string) string {
	var given []string
	for _, part := range parts {
		if part != "" {
			given = append(given, sentence(part))
		}
	}
	return strings.Join(given, "\n\n")
}

// sentence makes a text from elsewhere end as one.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?:") || strings.Contains(text, "\n") {
		return text
	}
	return text + "."
}

// Sentence returns an error's text as a sentence, for a person.
func Sentence(err error) string {
	return api.Capital(sentence(err.Error()))
}

// Warn adds a warning for each condition that is worse than information.
func Warn(conditions []api.Condition, paths Paths, machine Machine, diags *diag.Diagnostics) {
	for _, c := range conditions {
		if c.Severity == api.SeverityInfo {
			continue
		}
		summary := fmt.Sprintf("%s on machine %s", c.Type, cmp.Or(c.Machine, machine.Name.ValueString()))
		Warning(diags, paths.Path(c.Pointer), summary, "%s", sentence(api.Visible(c.Message)))
	}
}

// WarnSeen is [Warn] for what a refresh has found at a time. Terraform shows the
// warnings of a refresh once more after an apply, which may have ended what they
// are about: each says that it is of before.
func WarnSeen(conditions []api.Condition, paths Paths, machine Machine, at time.Time, diags *diag.Diagnostics) {
	seen := slices.Clone(conditions)
	for i := range seen {
		seen[i].Message = sentence(seen[i].Message) + fmt.Sprintf(" Seen at %s UTC, when Terraform refreshed the state.", at.UTC().Format(time.TimeOnly))
	}
	Warn(seen, paths, machine, diags)
}

// Progress returns what logs the events of an operation on a component, so
// that "Still creating…" has a reason.
func Progress(ctx context.Context, machine Machine, id api.ID) func(api.Event) {
	ctx = tflog.NewSubsystem(ctx, LogSubsystem, tflog.WithLevelFromEnv("TF_LOG_PROVIDER_FOOBAR", LogSubsystem))
	return func(event api.Event) {
		tflog.SubsystemInfo(ctx, LogSubsystem, api.Visible(event.Message), map[string]any{
			"machine": machine.Name.ValueString(),
			"kind":    string(id.Kind),
			"name":    id.Name,
			"seq":     event.Seq,
			"phase":   string(event.Phase),
		})
	}
}

// UploadProgress returns what logs how far the upload of a file of size bytes is:
// where it begins or goes on, and then each twentieth of it.
func UploadProgress(ctx context.Context, machine Machine, file string, size int64) func(sent int64) {
	ctx = tflog.NewSubsystem(ctx, LogSubsystem, tflog.WithLevelFromEnv("TF_LOG_PROVIDER_FOOBAR", LogSubsystem))
	logged := int64(-1)
	return func(sent int64) {
		step := twentieth(sent, size)
		if step == logged {
			return
		}
		logged = step
		tflog.SubsystemInfo(ctx, LogSubsystem, "The artifact is being uploaded", map[string]any{
			"machine": machine.Name.ValueString(),
			"file":    file,
			"sent":    sent,
			"size":    size,
			"percent": 5 * step,
		})
	}
}

// twentieth returns how many twentieths of size bytes were sent.
func twentieth(sent, size int64) int64 {
	if size <= 0 {
		return 20
	}
	return 20 * sent / size // artifacts are far from an overflow
}
