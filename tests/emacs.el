;;; emacs.el --- Drives Emacs in batch: attach, wait until ready, complete, accept, hover -*- lexical-binding: t -*-

;; Environment: DCS_PYTHON, DCS_SETTINGS, DCS_WORKSPACE, DCS_FILE, DCS_LINE and DCS_COLUMN (1-based). Prints JSON lines.

;;; Code:

(package-initialize)
(load (getenv "DCS_SETTINGS"))
(require 'json)

(defun say (kind value)
  "Print KIND and VALUE as a line of JSON."
  (princ (concat (json-encode `((kind . ,kind) (value . ,value))) "\n")))

;; The settings name the command on the PATH: here it is the one of this test run.
(setcdr (cl-find-if (lambda (entry) (member "deepcodeseek" (cdr entry))) eglot-server-programs)
        (list (getenv "DCS_PYTHON") "-I" "-m" "deepcodeseek.server" "--stdio"))
(setq eglot-sync-connect 30 eglot-connect-timeout 30
      project-find-functions (list (lambda (_) (cons 'transient (getenv "DCS_WORKSPACE")))))

(find-file (getenv "DCS_FILE"))
(js-mode)
(apply #'eglot (eglot--guess-contact))

(let ((server (eglot-current-server)) (tries 0) state)
  (while (and (not (equal state "ready")) (< tries 300))
    (setq state (plist-get (jsonrpc-request server :workspace/executeCommand
                                            '(:command "deepcodeseek.status" :arguments []))
                           :state)
          tries (1+ tries))
    (accept-process-output nil 0.2))
  (say "state" state)
  (goto-char (point-min))
  (forward-line (1- (string-to-number (getenv "DCS_LINE"))))
  (move-to-column (1- (string-to-number (getenv "DCS_COLUMN"))))
  (insert "Berth")
  (let* ((found (eglot-completion-at-point))
         (all (all-completions (buffer-substring (nth 0 found) (nth 1 found)) (nth 2 found))))
    (say "labels" (vconcat (mapcar #'substring-no-properties all)))
    ;; as a person who accepts the first
    (delete-region (nth 0 found) (nth 1 found))
    (insert (substring-no-properties (car all))))
  (say "line" (buffer-substring (line-beginning-position) (line-end-position)))
  (backward-char 3)
  (eglot--signal-textDocument/didChange)
  (let ((hover (jsonrpc-request server :textDocument/hover (eglot--TextDocumentPositionParams))))
    (say "hover" (plist-get (plist-get hover :contents) :value)))
  (eglot-shutdown server))

;;; emacs.el ends here
