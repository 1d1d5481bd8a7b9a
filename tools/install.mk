# `make install`, `make uninstall` and the Debian package.
# SPDX-License-Identifier: BSD-2-Clause

PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
UNITDIR     ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
MANDIR  ?= $(PREFIX)/share/man
DOCDIR  ?= $(PREFIX)/share/doc/alpnbpf
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d

.PHONY: man completions install uninstall deb FORCE

FORCE:

man: $(OUT)/alpnbpf.8

$(OUT)/alpnbpf.8: tools/man/alpnbpf.8.scd | $(OUT)
	$(call say,MAN,$@)scdoc <$< >$@

# systemd also reads units in /usr/local/lib. The unit contains the path of the binary.
$(OUT)/alpnbpf.service: tools/systemd/alpnbpf.service.in FORCE | $(OUT)
	$(call say,UNIT,$@)sed 's|@SBINDIR@|$(SBINDIR)|' $< >$@

completions: $(OUT)/completions/alpnbpf $(OUT)/completions/_alpnbpf $(OUT)/completions/alpnbpf.fish

$(OUT)/completions/alpnbpf: COMPLETED = bash
$(OUT)/completions/_alpnbpf: COMPLETED = zsh
$(OUT)/completions/alpnbpf.fish: COMPLETED = fish
$(OUT)/completions/%: $(BIN) $(wildcard tools/completions/*)
	$(Q)mkdir -p $(@D)
	$(call say,GEN,$@)tools/completions/generate $(COMPLETED) ./$(BIN) >$@

install: $(BIN) man completions $(OUT)/alpnbpf.service
	install -D -m 0755 $(BIN) $(DESTDIR)$(SBINDIR)/alpnbpf
	install -D -m 0644 $(OUT)/alpnbpf.8 $(DESTDIR)$(MANDIR)/man8/alpnbpf.8
	install -D -m 0644 README.md $(DESTDIR)$(DOCDIR)/README.md
	install -d $(DESTDIR)$(DOCDIR)/docs && install -m 0644 docs/*.md $(DESTDIR)$(DOCDIR)/docs/
	install -D -m 0644 tools/alpnbpf.conf $(DESTDIR)$(DOCDIR)/examples/alpnbpf.conf
	install -D -m 0644 $(OUT)/completions/alpnbpf $(DESTDIR)$(BASHDIR)/alpnbpf
	install -D -m 0644 $(OUT)/completions/_alpnbpf $(DESTDIR)$(ZSHDIR)/_alpnbpf
	install -D -m 0644 $(OUT)/completions/alpnbpf.fish $(DESTDIR)$(FISHDIR)/alpnbpf.fish
	install -D -m 0644 $(OUT)/alpnbpf.service $(DESTDIR)$(UNITDIR)/alpnbpf.service
	install -D -m 0644 tools/systemd/alpnbpf.socket $(DESTDIR)$(UNITDIR)/alpnbpf.socket
	install -D -m 0644 tools/systemd/alpnbpf.sysusers $(DESTDIR)$(SYSUSERSDIR)/alpnbpf.conf

# Removes files by name, and only its own folders, whatever DOCDIR is.
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/alpnbpf $(DESTDIR)$(MANDIR)/man8/alpnbpf.8 $(DESTDIR)$(BASHDIR)/alpnbpf \
		$(DESTDIR)$(ZSHDIR)/_alpnbpf $(DESTDIR)$(FISHDIR)/alpnbpf.fish \
		$(DESTDIR)$(SYSUSERSDIR)/alpnbpf.conf \
		$(DESTDIR)$(UNITDIR)/alpnbpf.service $(DESTDIR)$(UNITDIR)/alpnbpf.socket \
		$(addprefix $(DESTDIR)$(DOCDIR)/,README.md $(wildcard docs/*.md) examples/alpnbpf.conf)
	-rmdir $(addprefix $(DESTDIR)$(DOCDIR)/,docs examples) $(DESTDIR)$(DOCDIR)

# The Debian package, from a copy of the tree: build/alpnbpf_VERSION_ARCH.deb.
DEB_TREE := build/deb/alpnbpf-$(VERSION)
deb:
	$(Q)rm -rf build/deb && mkdir -p $(DEB_TREE)
	$(Q)cp -a bpf docs include tests tools user Makefile README.md LICENSE $(DEB_TREE)/ && cp -a tools/debian $(DEB_TREE)/
	$(Q)cd $(DEB_TREE) && env -u MAKEFLAGS -u MFLAGS dpkg-buildpackage -us -uc -b >../log 2>&1 || { cat ../log; exit 1; }
	$(Q)mv build/deb/*.deb build/ && rm -rf build/deb && ls build/*.deb
