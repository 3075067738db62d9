FROM base:1 AS a
CMD ["from-base"]
FROM a AS b
ENTRYPOINT ["x"]
FROM b
CMD echo "shell  form" $HOME \
  && true
