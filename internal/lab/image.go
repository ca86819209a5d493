package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// suite is the release of Debian that machines run.
const suite = "trixie"

// keyLength keeps cache keys short; 16 hex digits tell images of one host apart.
const keyLength = 16

// agentDir is the part of images/files that belongs to the agent's layer.
const agentDir = "agent"

// agentScript is the script that installs the agent; without an agent it does
// not run.
const agentScript = "80-agent.sh"

// firstLayerScript divides the provisioning scripts: those from here on make
// the layer that is made again with every new agent.
const firstLayerScript = "80-"

// An image is what a machine boots from: the operating system with its engines,
// and over it a thin layer with the agent. Each is a directory of the cache.
type image struct {
	base  string // key of the base
	layer string // key of the layer
	agent string // SHA-256 of the agent; empty: none
}

func (c Config) baseDir(key string) string  { return filepath.Join(c.CacheDir, "base-"+key) }
func (c Config) layerDir(key string) string { return filepath.Join(c.CacheDir, "layer-"+key) }
func (c Config) buildLog() string           { return filepath.Join(c.CacheDir, "build.log") }
func (c Config) provision() string          { return filepath.Join(c.ImagesDir, "provision") }
func (c Config) partial(name string) string {
	return filepath.Join(c.CacheDir, "partial-"+c.Name+"-"+name)
}

// recipe is what goes into an image.
type recipe struct {
	base, layer []string // scripts, in order
	image       image
}

// readRecipe reads scripts and files and computes the keys.
func (c Config) readRecipe() (recipe, error) {
	entries, err := os.ReadDir(c.provision())
	if err != nil {
		return recipe{}, fmt.Errorf("read the provisioning scripts (FOOBAR_LAB_IMAGES names the directory above them): %w", err)
	}
	var r recipe
	for _, entry := range entries {
		switch name := entry.Name(); {
		case filepath.Ext(name) != ".sh":
		case name < firstLayerScript:
			r.base = append(r.base, name)
		case c.Agent == "" && name == agentScript:
		default:
			r.layer = append(r.layer, name)
		}
	}
	if c.Agent != "" {
		if r.image.agent, err = fileSum(c.Agent); err != nil {
			return recipe{}, fmt.Errorf("read the agent: %w; build it with  make build, or give -no-agent", err)
		}
	}
	if r.image.base, err = imageKey(os.DirFS(c.ImagesDir), r.base, false, suite); err != nil {
		return recipe{}, err
	}
	r.image.layer, err = imageKey(os.DirFS(c.ImagesDir), r.layer, true, r.image.base, r.image.agent)
	return r, err
}

// imageKey is the hash of everything that decides what an image becomes: the
// scripts that run, the files they install, and what they run on. Time is not
// part of it: a newer package is taken when something else changes.
func imageKey(images fs.FS, scripts []string, layer bool, under ...string) (string, error) {
	sum := sha256.New()
	for _, text := range under {
		_, _ = fmt.Fprintf(sum, "under %s\n", text) // a hash takes everything
	}
	paths := make([]string, 0, len(scripts))
	for _, script := range scripts {
		paths = append(paths, "provision/"+script)
	}
	err := fs.WalkDir(images, "files", func(path string, entry fs.DirEntry, err error) error {
		isLayer := path == "files/"+agentDir || strings.HasPrefix(path, "files/"+agentDir+"/")
		if err == nil && !entry.IsDir() && isLayer == layer {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("list the image's files: %w", err)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if err := addFile(sum, images, path); err != nil {
			return "", fmt.Errorf("hash the image's files: %w", err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:keyLength], nil
}

func addFile(sum io.Writer, files fs.FS, path string) error {
	content, err := fs.ReadFile(files, path)
	if err != nil {
		return err
	}
	info, err := fs.Stat(files, path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(sum, "%s %o %d\n%s", path, info.Mode().Perm()&0o111, len(content), content)
	return err
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer closeRead(f)
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Image returns the image of the present scripts, files and agent, making what
// the cache lacks.
func (l *Lab) Image(ctx context.Context) (image, error) {
	r, err := l.readRecipe()
	if err != nil {
		return image{}, err
	}
	if err := l.PrepareHost(ctx); err != nil {
		return image{}, err
	}
	if err := os.MkdirAll(l.CacheDir, 0o755); err != nil {
		return image{}, fmt.Errorf("make the image cache: %w", err)
	}
	unlock, err := l.lockCache(ctx)
	if err != nil {
		return image{}, err
	}
	defer unlock()
	if err := l.fillCache(ctx, r); err != nil {
		return image{}, err
	}
	return r.image, errors.Join(l.touch(r.image), l.prune())
}

// fillCache makes what the cache lacks of an image.
func (l *Lab) fillCache(ctx context.Context, r recipe) error {
	parts := []struct {
		name, dir string
		fill      func(root string) error
	}{
		{"base", l.baseDir(r.image.base), func(root string) error { return l.buildBase(ctx, r, root) }},
		{"layer", l.layerDir(r.image.layer), func(root string) error { return l.buildLayer(ctx, r, root) }},
	}
	for _, part := range parts {
		if exists(part.dir) {
			continue
		}
		if err := l.build(ctx, part.name, part.dir, part.fill); err != nil {
			return err
		}
	}
	return nil
}

// build makes a directory of the cache: whole, or not at all.
func (l *Lab) build(ctx context.Context, name, target string, fill func(root string) error) error {
	began := time.Now()
	l.log.Info("building the image's "+name+" (kept for the next time)", "log", l.buildLog())
	partial := l.partial(name)
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("clear an unfinished image: %w", err)
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return fmt.Errorf("make the image's directory: %w", err)
	}
	if err := fill(partial); err != nil {
		return errors.Join(fmt.Errorf("build the image's %s (log: %s): %w", name, l.buildLog(), err), os.RemoveAll(partial))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Rename(partial, target); err != nil {
		return fmt.Errorf("keep the image: %w", err)
	}
	l.log.Info("built the image's "+name, "took", time.Since(began).Round(time.Second/10))
	return nil
}

// buildBase makes a bare Debian and runs the scripts that turn it into the
// appliance.
func (l *Lab) buildBase(ctx context.Context, r recipe, root string) error {
	if err := l.debootstrap(ctx, root); err != nil {
		return err
	}
	for _, script := range r.base {
		began := time.Now()
		if err := l.buildStep(ctx, l.Self, "provision", root, script); err != nil {
			return fmt.Errorf("%s: %w", script, err)
		}
		l.log.Info("provisioned", "script", script, "took", time.Since(began).Round(time.Second/10))
	}
	return nil
}

// debootstrap makes a bare Debian, with the package sources that it came from.
func (l *Lab) debootstrap(ctx context.Context, root string) error {
	from, err := findMirrors(os.DirFS("/"), l.Mirror)
	if err != nil {
		return err
	}
	l.log.Info("installing a bare Debian", "suite", suite, "archive", from.archive, "security", from.security)
	if from.security == "" {
		l.log.Warn("the image gets no security updates: neither this host's package sources nor FOOBAR_LAB_MIRROR names a mirror of them")
	}
	dir := l.partial("sources")
	defer func() { _ = os.RemoveAll(dir) }() // again before the next build, and by Down
	sources := filepath.Join(dir, "debian.sources")
	if err := l.writeFile(sources, from.sources()); err != nil {
		return err
	}
	const keep = `mv "$1"/etc/apt/sources.list.d/0000debian.sources "$1"/etc/apt/sources.list.d/debian.sources`
	return l.buildStep(ctx, "mmdebstrap", "--mode=root", "--variant=apt", "--format=directory",
		"--dpkgopt=force-unsafe-io", "--customize-hook=rm -f \"$1\"/etc/dpkg/dpkg.cfg.d/99mmdebstrap", "--customize-hook="+keep,
		"--keyring="+keyring, suite, root, sources)
}

// buildLayer runs the remaining scripts over the base and keeps what they change.
func (l *Lab) buildLayer(ctx context.Context, r recipe, root string) error {
	work := l.partial("work")
	defer func() { _ = os.RemoveAll(work) }() // again before the next build, and by Down
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return fmt.Errorf("make the layer's directories: %w", err)
		}
	}
	for _, script := range r.layer {
		if err := l.buildStep(ctx, l.Self, "provision", "-disk", work, "-base", l.baseDir(r.image.base), filepath.Join(work, "root"), script); err != nil {
			return fmt.Errorf("%s: %w", script, err)
		}
	}
	if err := os.Remove(root); err != nil {
		return fmt.Errorf("keep the layer: %w", err)
	}
	if err := os.Rename(filepath.Join(work, "upper"), root); err != nil {
		return fmt.Errorf("keep the layer: %w", err)
	}
	return nil
}

// buildStep runs a command of the build among the lab's processes, with mounts of
// its own, and its output in the log.
func (l *Lab) buildStep(ctx context.Context, command ...string) error {
	group := l.group.sub("build")
	if err := group.create(); err != nil {
		return err
	}
	dir, err := os.Open(string(group))
	if err != nil {
		return fmt.Errorf("open cgroup: %w", err)
	}
	defer closeRead(dir)
	log, err := os.OpenFile(l.buildLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the build's log: %w", err)
	}
	defer closeRead(log)
	if _, err := fmt.Fprintf(log, "\n== %s ==\n", strings.Join(command, " ")); err != nil {
		return fmt.Errorf("write the build's log: %w", err)
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = l.environ(os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	err = cmd.Run()
	// What the step left running must not hold the tree.
	if err := errors.Join(group.kill(context.WithoutCancel(ctx)), group.remove()); err != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(command[0]), err)
	}
	return nil
}

// Provision runs one provisioning script in a root filesystem, or, with a disk
// and a base, in the overlay of the two. It was started in a mount namespace of
// its own, and becomes the nspawn that runs the script.
func (l *Lab) Provision(root, disk, base, script string) error {
	if err := mountCgroup2(); err != nil {
		return err
	}
	if disk != "" {
		if err := mountOverlay(root, []string{base}, disk); err != nil {
			return err
		}
	}
	agent := ""
	if script == agentScript {
		agent = l.Agent
	}
	return become(provisionArgs(root, l.ImagesDir, agent, script), os.Environ())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
