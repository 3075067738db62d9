FROM base:1
RUN echo one > /one && \
  echo two > /two
ENV A=1 B="x y"
COPY a.txt /a
CMD ["x"]
