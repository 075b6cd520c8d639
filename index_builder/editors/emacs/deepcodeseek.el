;;; deepcodeseek.el --- Predicts the API you are about to call -*- lexical-binding: t -*-

;; In the init file: (load "/path/to/deepcodeseek.el"), then M-x eglot in a script.
;; Eglot starts one server a mode: this one takes the place of another for JavaScript and TypeScript.

;;; Code:

(require 'eglot)

(add-to-list 'eglot-server-programs
             '((js-mode js2-mode js-ts-mode typescript-mode typescript-ts-mode)
               . ("deepcodeseek" "serve" "--stdio")))

(provide 'deepcodeseek)

;;; deepcodeseek.el ends here
