# options: --build-arg GIVEN=given --build-arg VERSION=2 --build-arg HTTP_PROXY=http://proxy
ARG TAG=1
ARG BASE=base:${TAG}
ARG GLOBAL=global
ARG VERSION=1
FROM ${BASE} AS one
ARG GIVEN=default
ARG GLOBAL
ARG VERSION
ARG LOCAL=local UNSET SECOND="two words"
ENV KEPT=$GIVEN-$LOCAL
RUN echo "$GIVEN|$GLOBAL|$VERSION|$LOCAL|$UNSET|$SECOND|$TAG" > /one
ARG LOCAL=changed
RUN echo "$LOCAL" > /two
ENV LOCAL=environment
ARG LOCAL=argument
RUN echo "$LOCAL" > /three
FROM one
RUN echo "$GIVEN|$GLOBAL|$LOCAL|$KEPT" > /four
ARG GLOBAL=own
RUN echo "$GLOBAL|$HTTP_PROXY" > /five
