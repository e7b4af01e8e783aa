;; text, lists, hash tables, regular expressions
(let ((table (make-hash-table :test 'equal)))
  (with-temp-buffer
    (dotimes (i 20000)
      (insert (format "line %d of text\n" i))
      (puthash (number-to-string i) (make-vector 10 i) table))
    (goto-char (point-min))
    (while (re-search-forward "of \\(t.xt\\)" nil t)
      (replace-match "\\1 of"))
    (message "%d %d" (buffer-size) (hash-table-count table))))
